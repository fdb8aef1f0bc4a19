(globalThis.demoData ??= {}).networks = {
  W2A2: { top1: 78.35, bytes: 97000 },
  W2A4: { top1: 88.34, bytes: 97032 },
  W2A8: { top1: 88.96, bytes: 97080 },
  W4A2: { top1: 86.59, bytes: 164480 },
  W4A4: { top1: 92.12, bytes: 163592 },
  W4A8: { top1: 92.82, bytes: 159664 },
  W8A2: { top1: 86.74, bytes: 299408 },
  W8A4: { top1: 92.88, bytes: 298440 },
  W8A8: { top1: 93.43, bytes: 294504 },
};
