// The module of docs/demo in Node: the page's networks and pictures against expected.json, bit for bit, and the checksums
// that checksum.rs expects of every machine.
//
//     node tests/demo/logits.mjs [all]     with `all`, the 1,000 test images of the slice instead of 20
import { readFileSync } from 'node:fs';
import vm from 'node:vm';

const root = new URL('../../', import.meta.url);
const read = (path) => readFileSync(new URL(path, root));
const run = (path) => vm.runInThisContext(read(path).toString(), path);

for (const name of ['engine', 'pictures', 'networks']) run(`docs/demo/data/${name}.js`);
run('docs/demo/engine.js');
run('docs/demo/picture.js');
const { Engine, modelFile, bundledPictures } = vm.runInThisContext('({ Engine, modelFile, bundledPictures })');
let wrong = 0;
const say = (what, ok) => {
  console.log(`${what}: ${ok ? 'equal' : 'DIFFERENT'}`);
  wrong += !ok;
};

const engine = await Engine.start();
const expected = JSON.parse(read('tests/demo/expected.json'));
for (const [name, answers] of Object.entries(expected)) {
  run(`docs/demo/data/${name}.js`);
  engine.load(await modelFile(name));
  const got = bundledPictures().map(({ pixels }) => {
    const { integers, real } = engine.classify(pixels);
    return { integers: [...integers], real: [...new Uint32Array(real.slice().buffer)] };
  });
  say(`${name}, ${got.length} pictures on Node ${process.version}`, JSON.stringify(got) === JSON.stringify(answers));
}

// FNV-1a, 64 bits, over the integers' little-endian bytes.
const checksum = (hash, bytes) => {
  for (const byte of bytes) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  return hash;
};
const source = read('tests/tests/checksum.rs').toString();
const all = process.argv[2] === 'all', count = all ? 1000 : 20;
const batch = read('models/assets/cifar10-slice/test_batch.bin');
for (const [, bits, of20, ofAll] of source.matchAll(/\("(W\dA\d)", (0x[0-9a-f_]+), (0x[0-9a-f_]+)\)/g)) {
  const folder = bits === 'W8A8' ? 'models/assets' : 'tests/fixtures/integer';
  const { isa } = engine.load(read(`${folder}/ResNet20_${bits}.safetensors`));
  let hash = 0xcbf29ce484222325n;
  for (let i = 0; i < count; i++) {
    const pixels = new Uint8Array(3072);
    for (let p = 0; p < 3072; p++) pixels[p] = batch[i * 3073 + 1 + (p % 3) * 1024 + Math.floor(p / 3)];
    const { integers } = engine.classify(pixels);
    hash = checksum(hash, new Uint8Array(integers.buffer, integers.byteOffset, integers.byteLength));
  }
  const want = BigInt((all ? ofAll : of20).replaceAll('_', ''));
  say(`${bits}, checksum of ${count} images on ${isa}`, hash === want);
}
process.exit(wrong ? 1 : 0);
