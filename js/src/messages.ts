import type { Head } from "./types";

export interface Message {
  head: Head;
  buffers: Float64Array[];
}

type Bytes = DataView | ArrayBuffer | Uint8Array;

/** Bytes as numbers. A copy, for what arrives may not lie at a multiple of eight. */
export function floats(bytes: Bytes): Float64Array {
  if (bytes instanceof ArrayBuffer) return new Float64Array(bytes.slice(0));
  const start = bytes.byteOffset;
  return new Float64Array(bytes.buffer.slice(start, start + bytes.byteLength) as ArrayBuffer);
}

/** One message kept as bytes: length of its head, the head, its buffers (`pack` in messages.py). */
export function unpack(bytes: Bytes): Message | null {
  if (bytes.byteLength < 8) return null;
  const view =
    bytes instanceof ArrayBuffer
      ? new Uint8Array(bytes)
      : new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = new DataView(view.buffer, view.byteOffset).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(view.subarray(8, 8 + length))) as Head & {
    sizes: number[];
  };
  const buffers: Float64Array[] = [];
  let at = 8 + length;
  for (const size of head.sizes) {
    buffers.push(floats(view.subarray(at, at + size)));
    at += size;
  }
  return { head, buffers };
}

/** Base64 text, as exported pages carry it, as bytes. */
export function fromBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}
