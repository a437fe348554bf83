/** The axis of eigenvalues, asinh(eigenvalue / scale), as in nbtoolkit/panels/eigenaxis.py. */

const FEW = 4;

/** Places between two points of the asinh axis, and the eigenvalues written there. */
export function ticks(low: number, high: number, scale: number): Map<number, string> {
  const [first, last] = [scale * Math.sinh(low), scale * Math.sinh(high)];
  let found: number[] = [];
  for (const factors of [[1], [1, 2, 5]]) {
    found = powers(factors, first, last, scale).filter((value) => first <= value && value <= last);
    if (found.length >= FEW) break;
  }
  if (found.length < FEW) found = even(first, last);
  return new Map(found.map((value) => [Math.asinh(value / scale), label(value)]));
}

/** An eigenvalue as written on an axis. */
export function label(value: number): string {
  const plain = value === 0 || (Math.abs(value) >= 1e-3 && Math.abs(value) < 1e5);
  const text = plain ? String(Number(value.toPrecision(6))) : value.toExponential(0).replace("e+", "e");
  return text.replaceAll("-", "−");
}

function powers(factors: number[], first: number, last: number, scale: number): number[] {
  const sizes: number[] = [];
  const end = Math.floor(Math.log10(Math.max(Math.abs(first), Math.abs(last))) + 1e-9);
  for (let power = Math.ceil(Math.log10(scale) - 1e-9); power <= end; power++) {
    for (const factor of factors) sizes.push(Number(`${factor}e${power}`));
  }
  return [...sizes.map((size) => -size).reverse(), 0, ...sizes];
}

function even(first: number, last: number): number[] {
  const rough = (last - first) / FEW;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * Math.max(...[1, 2, 5].filter((factor) => factor * power <= rough * (1 + 1e-9)));
  const found: number[] = [];
  for (let place = Math.ceil(first / step); place <= Math.floor(last / step); place++) {
    found.push(Number((place * step).toPrecision(12)));
  }
  return found;
}
