// The module's functions as functions of JavaScript. `engine/src/lib.rs` describes what goes through its memory.
'use strict';

/// The bytes of a text in base64.
const bytesOf = (base64) => Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));

class Engine {
  static async start() {
    const { instance } = await WebAssembly.instantiate(bytesOf(demoData.engine), {});
    return new Engine(instance.exports);
  }

  constructor(module) {
    this.module = module;
  }

  // Memory may move when it grows, so views of it are made anew each time.
  ask(name, input, ...more) {
    if (input) {
      const at = this.module.input(input.length);
      new Uint8Array(this.module.memory.buffer, at, input.length).set(input);
    }
    const length = this.module[name](...more);
    const answer = new Uint8Array(this.module.memory.buffer, this.module.output(), Math.abs(length)).slice();
    if (length < 0) throw new Error(new TextDecoder().decode(answer));
    return answer;
  }

  /// Takes the network of a model file; says what is in it.
  load(file) {
    return JSON.parse(new TextDecoder().decode(this.ask('load', file)));
  }

  /// The logits of an image `[32][32][3]`: integers, and the same in real numbers.
  classify(image) {
    const answer = this.ask('classify', image), classes = answer.length / 8;
    return { integers: new Int32Array(answer.buffer, 0, classes), real: new Float32Array(answer.buffer, 4 * classes, classes) };
  }

  /// How often each code of the grid is a weight of a node.
  weightCodes(node) {
    return new Uint32Array(this.ask('weight_codes', null, node).buffer);
  }

  /// How often a node read each code of the grid in the last image.
  inputCodes(node) {
    return new Uint32Array(this.ask('input_codes', null, node).buffer);
  }
}

/// The model file of a network, which is fetched when it is first asked for: a script, so that it works without a server.
const modelFile = async (name) => {
  if (!demoData[name]) {
    await new Promise((done, failed) => {
      const script = document.createElement('script');
      script.src = `data/${name}.js`;
      script.onload = done;
      script.onerror = () => failed(new Error(`data/${name}.js cannot be read`));
      document.head.append(script);
    });
  }
  const packed = new Blob([bytesOf(demoData[name])]).stream().pipeThrough(new DecompressionStream('gzip'));
  return new Uint8Array(await new Response(packed).arrayBuffer());
};
