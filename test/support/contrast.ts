// Measures in the browser what a reader could not read or press. Runs inside the page, as text.

/** Text whose contrast with what is behind it is below WCAG AA, with its ratio. */
export const LOW_CONTRAST = `(() => {
  const channels = (color) => (color.match(/[\\d.]+/g) ?? []).map(Number);
  const over = ([r, g, b, a = 1], [R, G, B]) => [r * a + R * (1 - a), g * a + G * (1 - a), b * a + B * (1 - a)];
  const behind = (element) => {
    if (!element) return [255, 255, 255];
    const own = channels(getComputedStyle(element).backgroundColor);
    return own.length === 4 && own[3] === 0 ? behind(element.parentElement) : over(own, own[3] === undefined || own[3] === 1 ? [0, 0, 0] : behind(element.parentElement));
  };
  const light = (rgb) => rgb
    .map((value) => value / 255)
    .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4))
    .reduce((sum, value, at) => sum + value * [0.2126, 0.7152, 0.0722][at], 0);
  const low = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!element || walker.currentNode.textContent.trim() === '' || !element.checkVisibility()) continue;
    const style = getComputedStyle(element);
    const ground = behind(element);
    const [a, b] = [light(over(channels(style.color), ground)), light(ground)].toSorted((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    const size = parseFloat(style.fontSize);
    const isLarge = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (isLarge ? 3 : 4.5)) low.push(ratio.toFixed(2) + ' ' + walker.currentNode.textContent.trim().slice(0, 40));
  }
  return low;
})()`;

/** Buttons and fields that are too small for a finger. */
export const SMALL_TARGETS = `[...document.querySelectorAll('button, summary.button, select, textarea, input:not([type=hidden]):not([type=checkbox]):not([type=radio]), label.choice, a.button')]
  .filter((element) => element.checkVisibility() && element.getBoundingClientRect().height < 43.5)
  .map((element) => element.outerHTML.slice(0, 80))`;

/** How far the page is wider than the screen. */
export const OVERFLOW = 'document.documentElement.scrollWidth - window.innerWidth';
