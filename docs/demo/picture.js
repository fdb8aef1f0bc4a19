// Where pictures come from: test images, files, paint. All end as 32 x 32 pixels of three bytes.
'use strict';

const SIDE = 32, ZOOM = 8;
const CLASSES = ['airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck'];

/// The records of CIFAR-10 among the page's data: a label, then planes of red, green and blue.
const bundledPictures = () => {
  const bytes = bytesOf(demoData.pictures), plane = SIDE * SIDE, pictures = [];
  for (let at = 0; at < bytes.length; at += 1 + 3 * plane) {
    const pixels = new Uint8Array(3 * plane);
    for (let i = 0; i < plane; i++) for (let c = 0; c < 3; c++) pixels[3 * i + c] = bytes[at + 1 + c * plane + i];
    pictures.push({ label: bytes[at], pixels });
  }
  return pictures;
};

/// Puts pixels on a canvas of 32 x 32.
const paintPixels = (canvas, pixels) => {
  canvas.width = canvas.height = SIDE;
  const image = new ImageData(SIDE, SIDE);
  for (let i = 0; i < SIDE * SIDE; i++) image.data.set([...pixels.subarray(3 * i, 3 * i + 3), 255], 4 * i);
  canvas.getContext('2d').putImageData(image, 0, 0);
};

/// The mean of each block of 8 x 8 pixels.
const shrink = (context) => {
  const { data } = context.getImageData(0, 0, SIDE * ZOOM, SIDE * ZOOM);
  const pixels = new Uint8Array(3 * SIDE * SIDE);
  for (let y = 0; y < SIDE; y++) for (let x = 0; x < SIDE; x++) for (let c = 0; c < 3; c++) {
    let sum = 0;
    for (let i = 0; i < ZOOM * ZOOM; i++) sum += data[4 * ((y * ZOOM + (i >> 3)) * SIDE * ZOOM + x * ZOOM + (i & 7)) + c];
    pixels[3 * (y * SIDE + x) + c] = Math.round(sum / (ZOOM * ZOOM));
  }
  return pixels;
};

/// The large canvas: shows what the network sees, and takes paint and files. `changed(pixels)` is called with every new picture.
class Stage {
  constructor(canvas, changed) {
    this.canvas = canvas;
    this.changed = changed;
    this.context = canvas.getContext('2d', { willReadFrequently: true });
    this.small = document.createElement('canvas');
    this.color = () => '#000';
    this.brush = () => 16;
    canvas.addEventListener('pointerdown', (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.last = this.place(event);
      this.stroke(event);
    });
    canvas.addEventListener('pointermove', (event) => this.last && this.stroke(event));
    for (const end of ['pointerup', 'pointercancel']) canvas.addEventListener(end, () => this.finish());
  }

  show(pixels) {
    paintPixels(this.small, pixels);
    this.context.imageSmoothingEnabled = false;
    this.context.drawImage(this.small, 0, 0, SIDE * ZOOM, SIDE * ZOOM);
  }

  blank() {
    this.context.fillStyle = '#e8e6df';
    this.context.fillRect(0, 0, SIDE * ZOOM, SIDE * ZOOM);
    this.changed(shrink(this.context));
  }

  /// The middle of a picture file.
  async open(file) {
    const bitmap = await createImageBitmap(file);
    const side = Math.min(bitmap.width, bitmap.height);
    this.context.imageSmoothingEnabled = true;
    this.context.imageSmoothingQuality = 'high';
    this.context.fillStyle = '#fff';
    this.context.fillRect(0, 0, SIDE * ZOOM, SIDE * ZOOM);
    this.context.drawImage(bitmap, (bitmap.width - side) / 2, (bitmap.height - side) / 2, side, side, 0, 0, SIDE * ZOOM, SIDE * ZOOM);
    const pixels = shrink(this.context);
    this.show(pixels);
    this.changed(pixels);
  }

  place(event) {
    const box = this.canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height].map((part) => part * SIDE * ZOOM);
  }

  stroke(event) {
    const to = this.place(event);
    Object.assign(this.context, { strokeStyle: this.color(), lineWidth: this.brush(), lineCap: 'round', lineJoin: 'round' });
    this.context.beginPath();
    this.context.moveTo(...this.last);
    this.context.lineTo(to[0], to[1] + 0.01);
    this.context.stroke();
    this.last = to;
    this.changed(shrink(this.context));
  }

  finish() {
    if (!this.last) return;
    this.last = null;
    this.show(shrink(this.context));
  }
}
