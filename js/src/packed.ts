import { fromBase64, type Message } from "./messages";
import type { Description, Head } from "./types";

/** What a page carries for one run, or for one figure; see nbtoolkit/widget/payload.py. */
export interface Packed {
  head: Partial<Head> & { version: string; panels?: Description; drawing?: string; layout?: string };
  buffers: Float64Array[];
}

type Form = "step" | "single" | "double";
const BYTES: Record<Form, number> = { step: 4, single: 4, double: 8 };

export const OLD_BROWSER =
  "This page needs a newer browser to unpack its data: Chrome or Edge 80, Firefox 113, Safari 16.4, or later.";

/** Base64 text of compressed bytes, as bytes. */
export async function inflate(text: string): Promise<Uint8Array> {
  if (typeof DecompressionStream !== "function") throw new Error(OLD_BROWSER);
  const bytes = fromBase64(text.trim()) as Uint8Array<ArrayBuffer>;
  const stream = new Response(bytes).body!.pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Head and numbers of a payload. */
export function parse(bytes: Uint8Array): Packed {
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  const text = new TextDecoder().decode(bytes.subarray(4, 4 + length));
  const { numbers, places, ...head } = JSON.parse(text) as Packed["head"] & {
    numbers: [Form, number][];
    places: number[];
  };
  let at = 4 + length;
  const arrays = numbers.map(([form, count]) => {
    const size = count * BYTES[form];
    const values = widened(form, bytes.subarray(at, at + size));
    at += size;
    return values;
  });
  return { head, buffers: places.map((place) => arrays[place]!) };
}

/** Numbers of one form as doubles; in the bytes those of equal weight stand together. */
function widened(form: Form, bytes: Uint8Array): Float64Array {
  const wide = BYTES[form];
  const count = bytes.length / wide;
  const view = new DataView(new ArrayBuffer(wide));
  const out = new Float64Array(count);
  let sum = 0;
  for (let i = 0; i < count; i++) {
    for (let k = 0; k < wide; k++) view.setUint8(k, bytes[k * count + i]!);
    if (form === "single") out[i] = view.getFloat32(0, true);
    else if (form === "double") out[i] = view.getFloat64(0, true);
    else {
      sum += view.getInt32(0, true);
      out[i] = sum;
    }
  }
  return out;
}

/** The message in a payload. */
export const messageOf = ({ head, buffers }: Packed): Message => ({ head: head as Head, buffers });
