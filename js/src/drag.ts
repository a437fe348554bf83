/** Tell how far the pointer moves, in pixels to the right and upwards, for as long as it is held. */
export function drag(from: PointerEvent, moved: (right: number, up: number) => void): void {
  let [x, y] = [from.clientX, from.clientY];
  const move = (to: PointerEvent) => {
    moved(to.clientX - x, y - to.clientY);
    [x, y] = [to.clientX, to.clientY];
  };
  const end = () => {
    removeEventListener("pointermove", move);
    for (const type of ["pointerup", "pointercancel"]) removeEventListener(type, end);
  };
  addEventListener("pointermove", move);
  for (const type of ["pointerup", "pointercancel"]) addEventListener(type, end);
}
