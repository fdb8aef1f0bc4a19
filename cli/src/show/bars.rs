//! Horizontal bars, which have room for names: accuracies, sizes by layer.

use crate::show::svg::{Plot, SERIES, Size, escape};

/// Width of the drawings.
const WIDTH: f64 = 460.0;

/// One bar.
#[derive(Clone, Debug)]
pub struct Bar {
    /// Stands above it.
    pub name: String,
    /// Its length.
    pub value: f64,
    /// Stands at its end.
    pub text: String,
    /// Its class.
    pub class: &'static str,
}

/// Bars from zero to `most`, each under its name.
pub fn horizontal_bars(title: &str, bars: &[Bar], most: f64) -> Plot {
    let (room, mut y, mut body) = (WIDTH - 50.0, 2.0, String::new());
    for Bar { name, value, text, class } in bars {
        let length = (value / most * room).clamp(0.0, room);
        let (name, text) = (escape(name), escape(text));
        body += &format!(
            "<text x='0' y='{:.1}'>{name}</text>\n<rect class='track' x='0' y='{1:.1}' width='{room}' height='13' rx='3'/>\n\
             <rect class='{class} fill' x='0' y='{1:.1}' width='{length:.1}' height='13' rx='3'><title>{name}: {text}</title></rect>\n\
             <text class='strong' x='{WIDTH}' y='{2:.1}' text-anchor='end'>{text}</text>\n",
            y + 12.0,
            y + 17.0,
            y + 28.0
        );
        y += 40.0;
    }
    Plot { title: title.into(), legend: Vec::new(), size: Size { width: WIDTH, height: y }, body }
}

/// Bytes of each layer's weights, `(name, (in floats, as stored), bits)`, the second inside the first.
pub fn layer_sizes(title: &str, rows: &[(String, (usize, usize), String)]) -> Plot {
    let longest = rows.iter().map(|(name, ..)| name.chars().count()).max().unwrap_or(0);
    let left = 12.0 + 7.9 * longest as f64;
    let room = WIDTH - left - 46.0;
    let most = rows.iter().map(|(_, (float, _), _)| *float).max().unwrap_or(1).max(1) as f64;
    let (mut y, mut body) = (2.0, String::new());
    for (name, (float, packed), bits) in rows {
        let name = escape(name);
        let length = |bytes: usize| (bytes as f64 / most * room).max(1.0);
        let kib = |bytes: usize| bytes as f64 / 1024.0;
        body += &format!(
            "<text x='{:.1}' y='{:.1}' text-anchor='end'>{name}</text>\n\
             <rect class='track' x='{left}' y='{y:.1}' width='{:.1}' height='13' rx='2'/>\n\
             <rect class='s0 fill' x='{left}' y='{y:.1}' width='{:.1}' height='13' rx='2'><title>{name}: {:.1} KiB at {bits}, {:.1} KiB in floats</title></rect>\n\
             <text x='{WIDTH}' y='{:.1}' text-anchor='end'>{:.1}</text>\n",
            left - 7.0,
            y + 11.0,
            length(*float),
            length(*packed),
            kib(*packed),
            kib(*float),
            y + 11.0,
            kib(*packed)
        );
        y += 19.0;
    }
    let legend = vec![("as stored".to_string(), SERIES[0]), ("in floats".to_string(), "track-key")];
    Plot { title: title.into(), legend, size: Size { width: WIDTH, height: y }, body }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_long_as_its_share() {
        let bar = Bar { name: "a<b".into(), value: 50.0, text: "50.00".into(), class: SERIES[0] };
        let body = horizontal_bars("t", &[bar], 100.0).body;
        assert!(body.contains("width='205.0'") && body.contains("a&lt;b: 50.00"), "{body}");
        let body = layer_sizes("t", &[("fc".into(), (4096, 512), "4 bits".into())]).body;
        assert!(body.contains("fc: 0.5 KiB at 4 bits, 4.0 KiB in floats"), "{body}");
    }
}
