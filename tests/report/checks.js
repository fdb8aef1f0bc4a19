// What browser.py asks of a page.
globalThis.checks = (() => {
  const name = (element) => {
    const text = (element.textContent || element.getAttribute('alt') || '').trim().slice(0, 40);
    return `<${element.tagName.toLowerCase()}${element.className && element.className.baseVal !== undefined ? '.' + element.className.baseVal : element.className ? '.' + element.className : ''}> ${text}`;
  };
  const visible = (element) => element.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true }) && element.getClientRects().length > 0;

  // A colour as [r, g, b, a], whatever notation it has.
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const parse = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = ([r, g, b, a], [R, G, B]) => [r * a + R * (1 - a), g * a + G * (1 - a), b * a + B * (1 - a), 1];
  const luminance = ([r, g, b]) => {
    const linear = [r, g, b].map((c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  const contrast = (a, b) => {
    const [hi, lo] = [luminance(a), luminance(b)].sort((x, y) => y - x);
    return (hi + 0.05) / (lo + 0.05);
  };
  // The colour behind an element: backgrounds of what contains it and, in a drawing, the shapes under its middle.
  const behind = (element) => {
    const layers = [];
    for (let e = element; e; e = e.parentElement) layers.unshift(parse(getComputedStyle(e).backgroundColor));
    let color = layers.reduce((below, layer) => over(layer, below), [255, 255, 255, 1]);
    const svg = element.closest('svg');
    if (svg) {
      const box = element.getBoundingClientRect(), x = box.left + box.width / 2, y = box.top + box.height / 2;
      for (const shape of svg.querySelectorAll('rect')) {
        const r = shape.getBoundingClientRect();
        if (shape.compareDocumentPosition(element) & Node.DOCUMENT_POSITION_FOLLOWING && x > r.left && x < r.right && y > r.top && y < r.bottom) {
          const style = getComputedStyle(shape), fill = parse(style.fill);
          color = over([fill[0], fill[1], fill[2], fill[3] * Number(style.fillOpacity)], color);
        }
      }
    }
    return color;
  };

  const all = () => {
    const complaints = [];
    const width = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth > width) complaints.push(`wider than the window: ${document.documentElement.scrollWidth} > ${width}`);
    for (const element of document.body.querySelectorAll('*')) {
      if (!visible(element)) continue;
      const box = element.getBoundingClientRect();
      const scrolls = element.closest('.table');
      if (!scrolls && box.width > 0 && (box.right > width + 1 || box.left < -1)) complaints.push(`cut at the window's edge: ${name(element)}`);
    }
    // What is folded away may be wide; what stands on the page fits it.
    for (const table of document.querySelectorAll('.table')) {
      if (visible(table) && !table.closest('details') && table.scrollWidth > table.clientWidth + 1) complaints.push(`a table is cut: ${table.scrollWidth} in ${table.clientWidth}`);
    }
    for (const text of document.querySelectorAll('svg text')) {
      if (!visible(text)) continue;
      const box = text.getBoundingClientRect(), svg = text.closest('svg').getBoundingClientRect();
      if (box.left < svg.left - 1 || box.right > svg.right + 1 || box.top < svg.top - 1.5 || box.bottom > svg.bottom + 1.5) complaints.push(`leaves its drawing: ${name(text)} in ${text.closest('svg').getAttribute('aria-label')}`);
      if (box.height < 7.5) complaints.push(`too small to read (${box.height.toFixed(1)} px): ${name(text)}`);
    }
    // Texts of one drawing that lie on each other.
    for (const svg of document.querySelectorAll('svg.plot')) {
      if (!visible(svg)) continue;
      const boxes = [...svg.querySelectorAll('text')].filter((t) => !t.hasAttribute('transform')).map((t) => [t, t.getBoundingClientRect()]);
      for (let i = 0; i < boxes.length; i++) for (let j = i + 1; j < boxes.length; j++) {
        const [a, b] = [boxes[i][1], boxes[j][1]];
        const x = Math.min(a.right, b.right) - Math.max(a.left, b.left), y = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        if (x > 1 && y > 3.5) complaints.push(`texts on each other: "${boxes[i][0].textContent}" and "${boxes[j][0].textContent}" in ${svg.getAttribute('aria-label')}`);
      }
    }
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const seen = new Set();
    while (walker.nextNode()) {
      const element = walker.currentNode.parentElement;
      if (!walker.currentNode.textContent.trim() || seen.has(element) || !visible(element) || ['SCRIPT', 'STYLE', 'title'].includes(element.tagName)) continue;
      seen.add(element);
      const style = getComputedStyle(element);
      const color = parse(element.closest('svg') ? style.fill : style.color), ground = behind(element);
      const ratio = contrast(over(color, ground), ground);
      if (ratio < 4.5) complaints.push(`contrast ${ratio.toFixed(2)}: ${name(element)}`);
    }
    for (const image of document.querySelectorAll('img')) if (!image.alt || !image.complete || image.naturalWidth === 0) complaints.push(`picture: ${name(image)}`);
    for (const svg of document.querySelectorAll('svg')) if (!svg.getAttribute('aria-label')) complaints.push('a drawing without a description');
    if (document.querySelectorAll('h1').length !== 1 || !document.documentElement.lang) complaints.push('h1 or language is missing');
    for (const link of document.querySelectorAll('a[href^="#"]')) if (!document.querySelector(link.getAttribute('href'))) complaints.push(`link to nowhere: ${name(link)}`);
    return complaints;
  };

  // The element that the tab key has reached.
  const stop = () => {
    const element = document.activeElement;
    if (!element || element === document.body) return null;
    const box = element.getBoundingClientRect(), style = getComputedStyle(element);
    let problem = '';
    if (box.bottom < 0 || box.top > innerHeight) problem = 'outside the window';
    else if (style.outlineStyle === 'none') problem = 'without an outline';
    const tip = document.querySelector('#tip');
    if (element.closest('svg') && element.querySelector('title') && (!tip || tip.hidden)) problem = 'does not show its details';
    return { what: name(element), problem };
  };
  return { all, stop };
})();
