/** A measured value in words: all digits that a reader can use, nothing where nothing was measured. */
export function number(value: number | null | undefined, digits = 5): string {
  if (value === null || value === undefined || Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  if (Number.isInteger(value) && Math.abs(value) < 1e9) return whole(value).replace("-", "−");
  const size = Math.abs(value);
  const text =
    size >= 1e-4 && size < 1e6 ? String(Number(value.toPrecision(digits))) : value.toExponential(digits - 1);
  return text.replaceAll("-", "−");
}

/** A count with thin spaces between thousands. */
export function whole(value: number): string {
  return String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, "\u2009");
}

/** A duration: seconds, then minutes, then hours. */
export function duration(seconds: number): string {
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const minutes = Math.floor(seconds / 60);
  const rest = String(Math.floor(seconds % 60)).padStart(2, "0");
  if (minutes < 60) return `${minutes}:${rest} min`;
  return `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${rest} h`;
}

/** A label cut from the left, at a dot if there is one, as in nbtoolkit/panels/heatmap.py. */
export function short(label: string, letters = 18): string {
  if (label.length <= letters) return label;
  const end = label.slice(1 - letters);
  const dot = end.indexOf(".");
  return `…${2 * dot < end.length ? end.slice(dot + 1) : end}`;
}

/** Words with an ellipsis for what has no room, as in nbtoolkit/panels/curves.py. */
export const cut = (text: string, letters: number): string =>
  text.length <= letters ? text : `${text.slice(0, Math.max(1, letters - 1)).trimEnd()}…`;
