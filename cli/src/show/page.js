// What an element's <title> says, also for a finger and a keyboard; everything else works without a script.
(() => {
  const tip = document.createElement('div');
  tip.id = 'tip';
  tip.hidden = true;
  tip.setAttribute('role', 'status');
  document.body.append(tip);
  const show = (event) => {
    // A document, or nothing, may be what is scrolled or has the focus.
    const title = event.target?.closest?.('svg') && event.target.querySelector(':scope > title');
    tip.hidden = !title;
    if (!title) return;
    tip.textContent = title.textContent;
    const box = event.target.getBoundingClientRect(), own = tip.getBoundingClientRect();
    tip.style.left = Math.max(4, Math.min(box.left, innerWidth - own.width - 4)) + 'px';
    tip.style.top = (box.top > own.height + 8 ? box.top - own.height - 6 : box.bottom + 6) + 'px';
  };
  document.addEventListener('click', show);
  document.addEventListener('focusin', show);
  document.addEventListener('keydown', (event) => { if (event.key === 'Escape') tip.hidden = true; });
  // The tab key scrolls to what it reaches: its details go along, others vanish.
  addEventListener('scroll', () => { show({ target: document.activeElement }); }, { passive: true });
  addEventListener('beforeprint', () => document.querySelectorAll('details').forEach((d) => { d.open = true; }));
})();
