(globalThis.demoData ??= {}).networks = {
  W2A2: { top1: 12.34, bytes: 96064 },
  W2A4: { top1: 12.34, bytes: 96064 },
  W2A8: { top1: 12.34, bytes: 92152 },
  W4A2: { top1: 12.34, bytes: 163560 },
  W4A4: { top1: 12.34, bytes: 163560 },
  W4A8: { top1: 12.34, bytes: 163560 },
  W8A2: { top1: 12.34, bytes: 298456 },
  W8A4: { top1: 12.34, bytes: 294488 },
  W8A8: { top1: 12.34, bytes: 294488 },
};
