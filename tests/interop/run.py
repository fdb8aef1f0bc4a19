"""Exports networks with this project's program and loads them in the real others: ONNX Runtime and PyTorch.

    python tests/interop/run.py --cli target/debug/cli --data DIR [--images N] [--quick] [--option-a FILE] [--json]

First it reads files as people have them back into the program (import_cases.py). For the float network and quantized ones it compares the class of every image: this project's (`eval --predictions`, in
integers where the network is quantized) beside the other program's. Exit code 0: all agree as far as they must; 1: one
does not; 77: a package of requirements.txt is missing, nothing was run.
"""

import argparse
import importlib.metadata
import json
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
SKIPPED = 77
# A verb, its arguments, and the opset that is asked for, if not the one that is chosen.
QUICK = [
    ("ptq --bits W8A8", None),
    ("ptq --bits W4A4", None),
]
FULL = QUICK + [
    ("ptq --bits W4A4", 13),
    ("ptq --bits W4A4 --weight-granularity per_channel", None),
    ("ptq --bits W3A5", None),
    ("ptq --bits W2A8 --method sawb_refit", None),
    ("qat --bits W2A2 --epochs 3 --limit 2000", None),
    ("ptq --bits W8A8 --policy product", None),
]
# The least share of images, in percent, to which both programs give the same class; elsewhere it is measured only. A sum
# that a runtime rounds to the other side of a tie moves a code of 2 bits by a third of the range.
PROMISED = {"float": 99.9, "W8A8": 99.9, "W4A4": 99.9}
MEASURED = 90.0
# Images that an imported network classifies.
IMPORTED = 100


def versions():
    """The installed versions; ends the program if one is missing."""
    found = {}
    for line in (HERE / "requirements.txt").read_text().splitlines():
        if line.startswith("#"):
            continue
        name, pinned = line.split("==")
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            print(f"the Python package {name} is not installed", file=sys.stderr)
            sys.exit(SKIPPED)
        if found[name].split("+")[0] != pinned:
            print(f"note: {name} is {found[name]}, the figures are of {pinned}", file=sys.stderr)
    return found


class Run:
    def __init__(self, arguments, folder):
        import numpy as np

        from cifar import read_test

        self.cli, self.data, self.folder = arguments.cli, arguments.data, folder
        self.labels, self.pixels = (part[: arguments.images] for part in read_test(arguments.data))
        self.read_classes = lambda path: np.loadtxt(path, dtype=np.int64)
        self.rows, self.imported = [], []

    def quantlab(self, *words):
        """The JSON that the program prints."""
        command = [self.cli, *map(str, words), "--json", "--quiet"]
        done = subprocess.run(command, capture_output=True, cwd=self.folder, text=True)
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
        return json.loads(done.stdout)

    def ours(self, weights):
        """This project's classes."""
        path = self.folder / "classes.txt"
        words = ("--weights", weights, "--data", self.data, "--limit", len(self.labels))
        self.quantlab("eval", *words, "--predictions", path)
        return self.read_classes(path)

    def compare(self, network, what, ours, theirs, least, **facts):
        """Keeps and prints a row."""
        agreement = 100.0 * (ours == theirs).mean()
        top1 = [100.0 * (classes == self.labels).mean() for classes in (ours, theirs)]
        row = {"network": network, "in": what, "agreement": agreement, "ours": top1[0], "theirs": top1[1], **facts}
        row["passed"] = bool(agreement >= least and facts.get("exact", True))
        self.rows.append(row)
        verdict = "" if row["passed"] else f"   FAILED, at least {least}%"
        print(
            f"{network:24} {what:26} {agreement:7.2f}%  ours {top1[0]:.2f}%  theirs {top1[1]:.2f}%{verdict}",
            file=sys.stderr,
        )

    def in_onnx_runtime(self, network, weights, ours, least, opset=None):
        import onnx_file

        path = self.folder / "network.onnx"
        self.quantlab("export", weights, "--to", "onnx", "--out", path, *(["--opset", opset] if opset else []))
        theirs, facts = onnx_file.check(path, self.pixels)
        what = f"ONNX Runtime, opset {facts['opset']}"
        self.compare(network, what, ours, theirs, least, bytes=path.stat().st_size, **facts)

    def in_pytorch(self, network, weights, ours, least, option, names):
        import torch_file

        paths = [self.folder / name for name in ("network.pt", "network.safetensors")]
        for path in paths:
            words = ("--to", path.suffix[1:], "--out", path, "--names", names)
            facts = self.quantlab("export", weights, *words)
        mean, std = ([float(x) for x in part.split(",")] for part in facts["normalization"].split("/"))
        (state_dict, grids), (again, again_grids) = torch_file.read_pt(paths[0]), torch_file.read_safetensors(paths[1])
        exact = torch_file.same(dict(state_dict), again) and torch_file.weights_are_on_their_grids(state_dict, grids)
        torch_file.network(again, option, names, again_grids)  # loads, strictly; the numbers are the same
        model = torch_file.network(state_dict, option, names, grids)
        theirs = torch_file.classes(model, self.pixels, mean, std)
        self.compare(network, f"PyTorch, names {names}", ours, theirs, least, exact=exact)

    def float_network(self, name, weights, option):
        ours = self.ours(weights)
        least = PROMISED["float"]
        self.in_onnx_runtime(name, weights, ours, least)
        for names in ("downsample", "shortcut"):
            self.in_pytorch(name, weights, ours, least, option, names)

    def quantized_network(self, command, opset):
        words = command.split()
        few = ["--limit", "100"] if words[0] == "ptq" else ["--test-limit", "100"]
        out = f"run-{len(self.rows)}"
        made = self.quantlab(*words, *few, "--calibration-images", 500, "--data", self.data, "--out", out)
        weights = self.folder / made["latent" if "product" in words else "model"]
        ours, least = self.ours(weights), PROMISED.get(words[2], MEASURED)
        name = " ".join([words[0], words[2], *(word for word in words[3:] if word in ("per_channel", "product"))])
        self.in_onnx_runtime(name, weights, ours, least, opset)
        # The definitions have no module for a residual sum, whose input policy `product` quantizes.
        if opset is None and "product" not in words:
            self.in_pytorch(name, weights, ours, least, "B", "downsample")

    def trained_network(self, weights):
        """A bundled network that was trained under quantization."""
        name = "qat " + weights.stem.split("_")[1]
        ours = self.ours(weights)
        self.in_onnx_runtime(name, weights, ours, MEASURED)
        self.in_pytorch(name, weights, ours, MEASURED, "B", "downsample")

    def imports(self, weights):
        """Files as people have them, back into this project."""
        import import_cases
        import torch_file

        path = self.folder / "network.pt"
        self.quantlab("export", weights, "--to", "pt", "--out", path)
        state_dict, _ = torch_file.read_pt(path)
        path, classes = self.folder / "case.pt", self.folder / "classes.txt"
        base = ("--data", self.data, "--limit", IMPORTED, "--predictions", classes)
        self.quantlab("eval", "--weights", weights, *base)
        ours = self.read_classes(classes)
        for name, saved, arguments, more, expected in import_cases.cases(state_dict):
            import_cases.save(saved, path, arguments)
            command = [self.cli, "eval", "--weights", path, *base, *more]
            done = subprocess.run([str(word) for word in command], capture_output=True, cwd=self.folder, text=True)
            said = done.stderr.strip().splitlines()[-1:] or [""]
            if isinstance(expected, str):
                passed, found = done.returncode == 3 and expected in said[0], said[0].replace(str(path), "FILE")
            elif done.returncode != 0:
                passed, found = False, said[0]
            else:
                share = 100.0 * (self.read_classes(classes) == ours).mean()
                passed, found = share >= (100.0 if expected is True else expected), f"{share:.1f}% the same class"
            self.imported.append({"case": name, "found": found, "passed": bool(passed)})
            print(f"import: {name:44} {found}{'' if passed else '   FAILED'}", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cli", required=True, type=lambda path: str(pathlib.Path(path).resolve()))
    parser.add_argument("--data", required=True, type=lambda path: str(pathlib.Path(path).resolve()))
    parser.add_argument("--images", type=int, default=None)
    parser.add_argument("--quick", action="store_true", help="W8A8 and W4A4 only")
    parser.add_argument("--option-a", metavar="FILE", help="also a ResNet-20 of option A")
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout")
    arguments = parser.parse_args()
    found = versions()
    assets = HERE.parent.parent / "models" / "assets"
    with tempfile.TemporaryDirectory() as folder:
        run = Run(arguments, pathlib.Path(folder))
        run.float_network("float, option B", assets / "ResNet20.safetensors", "B")
        run.imports(assets / "ResNet20.safetensors")
        if arguments.option_a:
            run.float_network("float, option A", arguments.option_a, "A")
        for command, opset in QUICK if arguments.quick else FULL:
            run.quantized_network(command, opset)
        if not arguments.quick:
            for weights in sorted((assets / "qat").glob("*.safetensors")):
                run.trained_network(weights)
    if arguments.json:
        print(json.dumps({"images": len(run.labels), "versions": found, "rows": run.rows, "imported": run.imported}))
    return 0 if all(row["passed"] for row in run.rows + run.imported) else 1


if __name__ == "__main__":
    sys.exit(main())
