/** Tell how far the pointer moves, in pixels to the right and upwards, for as long as it is held, and when it ends. */
export function drag(
  from: PointerEvent,
  moved: (right: number, up: number, to: PointerEvent) => void,
  ended: (cancelled: boolean) => void = () => {},
): void {
  let [x, y] = [from.clientX, from.clientY];
  const move = (to: PointerEvent) => {
    moved(to.clientX - x, y - to.clientY, to);
    [x, y] = [to.clientX, to.clientY];
  };
  const end = (event: PointerEvent) => {
    removeEventListener("pointermove", move);
    for (const type of ["pointerup", "pointercancel"] as const) removeEventListener(type, end);
    ended(event.type === "pointercancel");
  };
  addEventListener("pointermove", move);
  for (const type of ["pointerup", "pointercancel"] as const) addEventListener(type, end);
}
