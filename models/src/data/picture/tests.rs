//! Pictures of every format and dialect, and what is none.

use super::*;

fn pixmap(width: usize, height: usize, sample: impl Fn(usize, usize, usize) -> u8) -> Vec<u8> {
    let mut bytes = format!("P6\n# a comment\n{width} {height}\n255\n").into_bytes();
    for i in 0..width * height * 3 {
        bytes.push(sample(i / 3 / width, i / 3 % width, i % 3));
    }
    bytes
}

fn png_of(color: png::ColorType, width: u32, height: u32, samples: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(color);
    encoder.write_header().unwrap().write_image_data(samples).unwrap();
    bytes
}

#[test]
fn a_picture_of_the_right_size_is_left_as_it_is() {
    let sample = |y: usize, x: usize, c: usize| (y * 7 + x * 5 + c * 31) as u8;
    let bytes = pixmap(32, 32, sample);
    let samples = &bytes[bytes.len() - 3072..];
    let picture = decode(&bytes).unwrap();
    assert_eq!((picture.pixels.as_slice(), picture.width, picture.height), (samples, 32, 32));
    assert_eq!(decode(&png_of(png::ColorType::Rgb, 32, 32, samples)).unwrap(), picture);
}

#[test]
fn the_middle_square_is_averaged() {
    // 3 x 3 blocks of one colour, behind a margin that must not be seen.
    let block = |y: usize, x: usize| ((y / 3) * 8 + x / 3) as u8;
    let bytes = pixmap(96 + 20, 96, |y, x, _| if (10..106).contains(&x) { block(y, x - 10) } else { 255 });
    let picture = decode(&bytes).unwrap();
    for (i, pixel) in picture.pixels.chunks(3).enumerate() {
        assert_eq!(pixel, [(i / 32 * 8 + i % 32) as u8; 3]);
    }
    // Sides that 32 does not divide: the mean stays.
    let bytes = pixmap(45, 45, |y, x, _| if (x + y) % 2 == 0 { 200 } else { 100 });
    let mean = decode(&bytes).unwrap().pixels.iter().map(|&p| f64::from(p)).sum::<f64>() / 3072.0;
    assert!((mean - 150.0).abs() < 1.0, "{mean}");
    assert_eq!(decode(&pixmap(1, 1, |_, _, c| c as u8 * 9)).unwrap().pixels, [0, 9, 18].repeat(1024));
}

#[test]
fn grey_and_transparent_pictures_become_colours() {
    let grey = decode(&png_of(png::ColorType::Grayscale, 32, 32, &[77; 1024])).unwrap();
    assert_eq!(grey.pixels, [77; 3072]);
    let rgba = decode(&png_of(png::ColorType::Rgba, 32, 32, &[1, 2, 3, 0].repeat(1024))).unwrap();
    assert_eq!(rgba.pixels, [1, 2, 3].repeat(1024));
}

#[test]
fn jpeg_baseline_progressive_and_cut_short() {
    use jpeg_encoder::{ColorType, Encoder};
    let encode = |color, progressive, samples: &[u8]| {
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes, 95);
        encoder.set_progressive(progressive);
        encoder.encode(samples, 64, 48, color).unwrap();
        bytes
    };
    let near = |a: &[u8], b: [u8; 3]| a.iter().zip(b).all(|(a, b)| a.abs_diff(b) <= 3);
    let rgb = [90u8, 120, 200].repeat(64 * 48);
    for progressive in [false, true] {
        let bytes = encode(ColorType::Rgb, progressive, &rgb);
        let picture = decode(&bytes).unwrap();
        assert_eq!((picture.width, picture.height), (64, 48));
        assert!(picture.pixels.chunks(3).all(|p| near(p, [90, 120, 200])), "{:?}", &picture.pixels[..3]);
        let e = decode(&bytes[..bytes.len() - 40]).unwrap_err();
        assert!(e.contains("not a complete JPEG"), "{e}");
    }
    let grey = decode(&encode(ColorType::Luma, false, &[77; 64 * 48])).unwrap();
    assert!(grey.pixels.chunks(3).all(|p| near(p, [77; 3])));
}

/// Pictures that the library would decode to other colours without a word.
#[test]
fn a_jpeg_beyond_the_library_is_refused_by_its_headers() {
    let segment = |marker: u8, body: &[u8]| {
        [&[0xff, marker][..], &(body.len() as u16 + 2).to_be_bytes(), body].concat()
    };
    let file = |first: &[u8], sampling: [u8; 3], scanned: u8| {
        let mut frame = vec![8, 0, 32, 0, 32, 3];
        (1..).zip(sampling).for_each(|(id, sampling)| frame.extend([id, sampling, 0]));
        let scan = [&[scanned][..], &[1, 0].repeat(scanned.into()), &[0, 63, 0]].concat();
        [&[0xff, 0xd8][..], first, &segment(0xc0, &frame), &segment(0xda, &scan), &[0xff, 0xd9]].concat()
    };
    let jfif = segment(0xe0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0");
    let adobe = segment(0xee, b"Adobe\0\x64\0\0\0\0\0");
    for (bytes, what) in [
        (file(&jfif, [0x22, 0x11, 0x11], 1), Some("scans of single components")),
        (file(&jfif, [0x21, 0x11, 0x11], 1), None),
        (file(&jfif, [0x22, 0x11, 0x11], 3), None),
        (file(&jfif, [0x11, 0x21, 0x11], 3), Some("more columns than the brightness")),
        (file(&[jfif.clone(), adobe.clone()].concat(), [0x11; 3], 3), Some("contradict each other")),
        (file(&adobe, [0x11; 3], 3), None),
    ] {
        let error = decode(&bytes).unwrap_err(); // there are no pixels
        assert_eq!(jpeg_frame::check(&bytes).is_err(), what.is_some(), "{error}");
        assert!(error.contains(what.unwrap_or("not a complete JPEG")), "{error}");
        let error = decode(&bytes[..bytes.len() - 2]).unwrap_err();
        assert!(error.contains("no end marker"), "{error}");
    }
}

#[test]
fn what_is_no_complete_picture_is_an_error() {
    let png = png_of(png::ColorType::Rgb, 32, 32, &[5; 3072]);
    for (bytes, text) in [
        (&b"hello"[..], "is not a PNG, JPEG or PPM picture"),
        (b"", "is not a PNG"),
        (&png[..png.len() / 2], "not a complete PNG"),
        (&png[..20], "not a complete PNG"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "not a complete JPEG"),
        (b"P6\n32 32\n255\n123", "0 rows of 32"),
        (b"P6\n32 32", "no largest value"),
        (b"P6\n32 32\n65535\n", "0 rows of 32"),
        (b"P6\n32 32\n65536\n", "the largest value is 65536, at most 65535"),
        (b"P6\n32 32\n0\n", "the largest value is 0"),
        (b"P6\n1000000 1000000\n255\n", "1000000x1000000 pixels; at most 16384"),
        (b"P6\n16384 16384\n255\n", "altogether"),
        (b"P6\n0 5\n255\n", "0x5 pixels"),
    ] {
        let e = decode(bytes).unwrap_err();
        assert!(e.contains(text), "{e}");
    }
}

/// Six pixels, 3 wide and 2 high, red 0..=5.
fn six(pixel: usize, c: usize) -> u8 {
    if c == 0 { pixel as u8 * 40 } else { 7 }
}

#[test]
fn every_dialect_of_pnm_gives_the_same_picture() {
    let all = |f: &dyn Fn(u8) -> String| (0..18).map(|i| f(six(i / 3, i % 3))).collect::<String>();
    let binary: Vec<u8> = (0..18).map(|i| six(i / 3, i % 3)).collect();
    let expected = decode(&[b"P6 3 2 255\n", &binary[..]].concat()).unwrap();
    let wide: Vec<u8> = binary.iter().flat_map(|&v| (u16::from(v) * 257).to_be_bytes()).collect();
    for bytes in [
        [b"P6\r\n# made by hand\r\n3 2\r\n255\r\n", &binary[..]].concat(),
        [b"P6\n3 2\n255\n# a comment after the largest value\n", &binary[..]].concat(),
        [b"P6\n3 2\n255 # and one on its line\n", &binary[..]].concat(),
        [b"P6#c\n3#c\n2 255\t", &binary[..]].concat(),
        [b"P6\n3 2\n65535\n", &wide[..]].concat(),
        format!("P3\n3 2 # c\n255\n{}", all(&|v| format!("{v}\n"))).into_bytes(),
        format!("P3 3 2 65535 {}", all(&|v| format!("{} ", u32::from(v) * 257))).into_bytes(),
    ] {
        assert_eq!(decode(&bytes).unwrap(), expected, "{}", String::from_utf8_lossy(&bytes));
    }
    let e = decode(&[b"P6 3 2 255\n", &binary[..], b"\n"].concat()).unwrap_err();
    assert!(e.contains("1 byte more than"), "{e}");
    let e = decode(b"P3 1 1 9 1 2 10").unwrap_err();
    assert!(e.contains("10 is above the largest value, 9"), "{e}");
}

#[test]
fn grey_maps_and_bitmaps_are_pictures_too() {
    let grey = [b"P5 32 32 15\n".to_vec(), vec![5; 1024]].concat();
    assert_eq!(decode(&grey).unwrap().pixels, [85; 3072]);
    assert_eq!(decode(b"P2 1 1 100 50").unwrap().pixels, [128; 3072]);
    // In a bitmap 1 is black, and rows are filled up to whole bytes.
    let bits = decode(b"P4 2 2\n\x40\x80").unwrap();
    assert_eq!(bits, decode(b"P1 2 2 # c\n01\n1 0").unwrap());
    assert_eq!((bits.pixels[0], bits.pixels[3 * 31], bits.pixels[3 * 31 * 32]), (255, 0, 0));
}

#[test]
fn the_orientation_that_a_camera_notes_is_honoured() {
    use png::Encoder;
    // 40 x 32, four quarters of different grey in the middle square.
    let grey: Vec<u8> = (0..40 * 32)
        .map(|i| match (i / 40 < 16, i % 40 < 20) {
            (true, true) => 10,
            (true, false) => 20,
            (false, true) => 30,
            (false, false) => 40,
        })
        .collect();
    let corners_of = |orientation: u8, prefix: &[u8], cut: usize, behind: bool| {
        let mut bytes = Vec::new();
        let mut info = png::Info::with_size(40, 32);
        info.color_type = png::ColorType::Grayscale;
        let mut exif = [prefix, b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0"].concat();
        exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
        let len = exif.len() - cut;
        exif.truncate(len);
        info.exif_metadata = Some(exif.into());
        let encoder = Encoder::with_info(&mut bytes, info).unwrap();
        encoder.write_header().unwrap().write_image_data(&grey).unwrap();
        if behind {
            let place = bytes.windows(4).position(|name| name == b"eXIf").unwrap() - 4;
            let chunk: Vec<u8> = bytes.drain(place..place + 12 + len).collect();
            let end = bytes.len() - 12; // of the chunk that ends the file
            bytes.splice(end..end, chunk);
        }
        let pixels = decode(&bytes).unwrap().pixels;
        [0, 31, 31 * 32, 31 * 32 + 31].map(|i| pixels[3 * i])
    };
    let corners = |orientation| corners_of(orientation, b"", 0, false);
    // Behind the pixels; without the place of the next directory; with the name that it has in a JPEG file.
    for (prefix, cut, behind) in [(&b""[..], 0, true), (b"", 4, false), (b"Exif\0\0", 0, false)] {
        assert_eq!(corners_of(6, prefix, cut, behind), [30, 10, 40, 20], "{prefix:?} {cut} {behind}");
    }
    for (orientation, expected) in [
        (1, [10, 20, 30, 40]),
        (2, [20, 10, 40, 30]),
        (3, [40, 30, 20, 10]),
        (4, [30, 40, 10, 20]),
        (5, [10, 30, 20, 40]),
        (6, [30, 10, 40, 20]),
        (7, [40, 20, 30, 10]),
        (8, [20, 40, 10, 30]),
        (9, [10, 20, 30, 40]),
    ] {
        assert_eq!(corners(orientation), expected, "orientation {orientation}");
    }
}
