// The page: what is chosen, and what the network says to it.
'use strict';

const BITS = [2, 4, 8], FLOAT_BYTES = 1079.6 * 1024;
const byId = (id) => document.getElementById(id);
const make = (tag, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};
const percent = (part, digits = 1) => `${(100 * part).toFixed(digits)}%`;
const kib = (bytes) => `${(bytes / 1024).toFixed(1)} KiB`;

const state = { engine: null, network: null, name: '', pixels: null, label: null, layer: 'layer2.0.conv1' };

const softmax = (logits) => {
  const most = Math.max(...logits), powers = Array.from(logits, (logit) => Math.exp(logit - most));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((power) => power / sum);
};

const showProblem = (error) => {
  byId('problem').textContent = error.message;
  byId('problem').hidden = false;
};

const showAnswer = () => {
  const probabilities = softmax(state.engine.classify(state.pixels).real);
  const order = CLASSES.map((_, i) => i).sort((a, b) => probabilities[b] - probabilities[a]);
  const verdict = byId('verdict');
  verdict.textContent = CLASSES[order[0]];
  verdict.className = state.label === null ? '' : state.label === order[0] ? 'right' : 'wrong';
  byId('truth').textContent = state.label === null ? '' : `(it is ${/^[aeiou]/.test(CLASSES[state.label]) ? 'an' : 'a'} ${CLASSES[state.label]})`;
  byId('bars').replaceChildren(...CLASSES.map((name, i) => {
    const fill = make('div', { className: 'fill' });
    fill.style.width = percent(probabilities[i], 2);
    return make('div', { className: i === order[0] ? 'bar first' : 'bar' },
      make('span', { textContent: name }), make('div', { className: 'track' }, fill), make('span', { textContent: percent(probabilities[i]) }));
  }));
};

/// Time of one picture: many in a row, because a browser's clock is coarse on purpose.
const measure = () => {
  const start = performance.now();
  let runs = 0, elapsed = 0;
  while (elapsed < 40) {
    for (let i = 0; i < 5; i++) state.engine.classify(state.pixels);
    runs += 5;
    elapsed = performance.now() - start;
  }
  return elapsed / runs;
};

const showLatency = () => {
  clearTimeout(state.timer);
  state.timer = setTimeout(() => {
    const ms = measure();
    byId('latency').replaceChildren(`${ms.toFixed(2)} ms`, make('small', { textContent: `${Math.round(1000 / ms).toLocaleString('en')} a second, one thread` }));
  }, 150);
};

/// Columns over a grid of codes from `lowest` on.
const histogram = (counts, lowest, what) => {
  const most = Math.max(...counts), n = counts.length, gap = n > 64 ? 0 : 0.12;
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  const rect = (properties) => {
    const element = document.createElementNS(svg.namespaceURI, 'rect');
    for (const [name, value] of Object.entries(properties)) element.setAttribute(name, value);
    svg.append(element);
  };
  svg.setAttribute('viewBox', `0 0 ${n} 100`);
  svg.setAttribute('preserveAspectRatio', 'none');
  svg.setAttribute('role', 'img');
  svg.setAttribute('aria-label', `Histogram of ${what}: ${n} codes from ${lowest} to ${lowest + n - 1}`);
  counts.forEach((count, i) => {
    const height = 94 * count / most;
    rect({ x: i + gap, width: 1 - 2 * gap, y: 98 - height, height });
    if (n <= 64) rect({ x: i + 0.46, width: 0.08, y: 98, height: 2, class: 'level' });
  });
  const middle = lowest < 0 ? '0' : `${lowest + n / 2}`;
  const axis = n <= 16 ? Array.from(counts, (_, i) => `${lowest + i}`) : [`${lowest}`, middle, `${lowest + n - 1}`];
  const labels = axis.map((textContent) => make('span', { textContent }));
  return [svg, make('div', { className: n <= 16 ? 'axis each' : 'axis' }, ...labels)];
};

/// Bits of information in a code, by Shannon.
const entropy = (counts) => {
  const sum = counts.reduce((a, b) => a + b, 0);
  return counts.reduce((bits, count) => (count ? bits - count / sum * Math.log2(count / sum) : bits), 0);
};

const showLayer = () => {
  const layer = state.network.layers.find((layer) => layer.name === state.layer);
  const weights = state.engine.weightCodes(layer.node), inputs = state.engine.inputCodes(layer.node);
  const sum = weights.reduce((a, b) => a + b, 0), read = inputs.reduce((a, b) => a + b, 0);
  byId('layer-facts').textContent = `${layer.shape.join(' x ')}, ${(layer.multiply_adds / 1e6).toFixed(2)} million multiply-adds`;
  byId('weight-facts').textContent = `${sum.toLocaleString('en')} weights of ${layer.w_bits} bits, ${entropy(weights).toFixed(1)} of them information`;
  byId('input-facts').textContent = `${read.toLocaleString('en')} codes of ${layer.a_bits} bits, ${percent(inputs[0] / read, 0)} of them code 0`;
  byId('weights').replaceChildren(...histogram(weights, -(2 ** (layer.w_bits - 1)), 'weights'));
  byId('inputs').replaceChildren(...histogram(inputs, 0, 'activations'));
};

const showAll = () => {
  const cell = (w, a) => {
    const { top1, bytes } = demoData.networks[`W${w}A${a}`];
    const size = make('small', { textContent: ` ${kib(bytes)}` });
    return make('td', { className: state.name === `W${w}A${a}` ? 'current' : '' }, `${top1.toFixed(2)}%`, size);
  };
  const head = make('tr', {}, make('th', { scope: 'col', textContent: 'Weights' }),
    ...BITS.map((a) => make('th', { scope: 'col', textContent: `A: ${a} bits` })));
  const rows = BITS.map((w) => make('tr', {}, make('th', { scope: 'row', textContent: `W: ${w} bits` }), ...BITS.map((a) => cell(w, a))));
  byId('all').replaceChildren(make('thead', {}, head), make('tbody', {}, ...rows));
};

const showNetwork = () => {
  const { top1 } = demoData.networks[state.name], { file_bytes: bytes, isa, multiply_adds: macs, about } = state.network;
  byId('accuracy').replaceChildren(`${top1.toFixed(2)}%`, make('small', { textContent: '93.41% in floats' }));
  byId('size').replaceChildren(kib(bytes), make('small', { textContent: `${(FLOAT_BYTES / bytes).toFixed(1)} times smaller than floats` }));
  byId('about').textContent = `${state.name}, made without training by ${about.command}. ${(macs / 1e6).toFixed(1)} million multiply-adds a picture, kernel ${isa}.`;
  const names = state.network.layers.map((layer) => layer.name);
  byId('layer').replaceChildren(...names.map((name) => make('option', { textContent: name, selected: name === state.layer })));
  showAll();
};

/// Takes a picture of `[32][32][3]` bytes.
const choosePicture = (pixels, label = null) => {
  Object.assign(state, { pixels, label });
  byId('problem').hidden = true; // it was about another picture
  for (const button of byId('thumbs').children) button.setAttribute('aria-pressed', button.pixels === pixels);
  if (!state.network) return;
  showAnswer();
  showLayer();
  showLatency();
};

/// Takes the network that the sliders say.
const chooseNetwork = async () => {
  const [w, a] = ['w', 'a'].map((id) => BITS[byId(id).value]), name = `W${w}A${a}`;
  for (const [id, bits] of [['w', w], ['a', a]]) {
    byId(`${id}-bits`).textContent = bits;
    byId(id).setAttribute('aria-valuetext', `${bits} bits`);
  }
  state.wanted = name;
  const file = await modelFile(name);
  if (state.wanted !== name) return; // the slider has moved on
  state.name = name;
  state.network = state.engine.load(file);
  showNetwork();
  if (state.pixels) choosePicture(state.pixels, state.label);
};

const start = async () => {
  if (!('DecompressionStream' in globalThis)) throw new Error('This browser cannot unpack the networks: it lacks DecompressionStream.');
  state.engine = await Engine.start();
  const stage = new Stage(byId('stage'), (pixels) => choosePicture(pixels));
  stage.color = () => byId('color').value;
  stage.brush = () => Number(byId('brush').value);
  const open = (file) => file && stage.open(file).catch(() => showProblem(new Error(`${file.name} is no picture that this browser can read`)));
  byId('file').addEventListener('change', (event) => {
    open(event.target.files[0]);
    event.target.value = ''; // the same file may be chosen again
  });
  byId('blank').addEventListener('click', () => stage.blank());
  byId('layer').addEventListener('change', (event) => {
    state.layer = event.target.value;
    showLayer();
  });
  for (const id of ['w', 'a']) byId(id).addEventListener('input', () => chooseNetwork().catch(showProblem));
  addEventListener('paste', (event) => open(event.clipboardData.files[0]));
  addEventListener('dragover', (event) => event.preventDefault());
  const over = (is) => byId('drop').classList.toggle('over', is);
  addEventListener('dragenter', () => over(true));
  addEventListener('dragleave', (event) => { if (!event.relatedTarget) over(false); }); // it has left the page
  addEventListener('drop', () => over(false));
  addEventListener('drop', (event) => {
    event.preventDefault();
    open(event.dataTransfer.files[0]);
  });

  const pictures = bundledPictures();
  const seen = new Map();
  byId('thumbs').replaceChildren(...pictures.map(({ label, pixels }) => {
    seen.set(label, (seen.get(label) ?? 0) + 1);
    const canvas = document.createElement('canvas');
    paintPixels(canvas, pixels);
    const button = make('button', { type: 'button', pixels, title: CLASSES[label] }, canvas);
    button.setAttribute('aria-label', `${CLASSES[label]} ${seen.get(label)}`);
    button.addEventListener('click', () => {
      stage.show(pixels);
      choosePicture(pixels, label);
    });
    return button;
  }));
  stage.show(pictures[0].pixels);
  choosePicture(pictures[0].pixels, pictures[0].label);
  await chooseNetwork();

  /// For tests: what a network says to each of the page's pictures, by an engine of its own.
  const logits = async (name) => {
    const engine = await Engine.start();
    engine.load(await modelFile(name));
    return pictures.map(({ pixels }) => {
      const { integers, real } = engine.classify(pixels);
      return { integers: [...integers], real: [...new Uint32Array(real.slice().buffer)] };
    });
  };
  return { logits, networks: Object.keys(demoData.networks), state };
};

globalThis.demo = start();
demo.catch((error) => {
  const simd = error instanceof WebAssembly.CompileError;
  showProblem(simd ? new Error(`This browser cannot run the network: it lacks WebAssembly's vectors (simd128). ${error.message}`) : error);
});
