/** JupyterLab's own colours, with others where it is not around. */
export const STYLE = `
.nbtk-board {
  --nbtk-ink: var(--jp-ui-font-color1, light-dark(#212121, #e4e4e4));
  --nbtk-soft: var(--jp-ui-font-color2, light-dark(#616161, #a8a8a8));
  --nbtk-faint: var(--jp-border-color3, light-dark(#ececec, #333333));
  --nbtk-edge: var(--jp-border-color2, light-dark(#e0e0e0, #424242));
  --nbtk-page: var(--jp-layout-color0, light-dark(#ffffff, #111111));
  --nbtk-brand: var(--jp-brand-color1, #1976d2);
  --nbtk-alarm: var(--jp-error-color1, light-dark(#d32f2f, #ef5350));
  color: var(--nbtk-ink);
  background: var(--nbtk-page);
  font-family: var(--jp-ui-font-family, system-ui, "Segoe UI", Helvetica, Arial, sans-serif);
  font-size: 12px;
  line-height: 1.4;
  padding: 2px 0 12px;
  position: relative;
  container-type: inline-size;
  font-variant-numeric: tabular-nums;
}
.nbtk-board [hidden] { display: none; }
.nbtk-top { display: flex; flex-wrap: wrap; align-items: center; gap: 2px 16px; padding: 2px 4px; }
.nbtk-top button { white-space: nowrap; }
.nbtk-status { display: flex; flex-wrap: wrap; gap: 2px 16px; flex: 1 1 auto; }
.nbtk-facts { display: flex; flex-wrap: wrap; gap: 0 14px; color: var(--nbtk-soft); }
.nbtk-facts > :first-child { color: var(--nbtk-ink); font-weight: 600; min-width: 6em; }
.nbtk-notes {
  margin: 2px 4px 6px; padding-left: 8px; border-left: 3px solid var(--nbtk-alarm);
  max-height: 5.6em; overflow: auto; overflow-wrap: anywhere;
}
.nbtk-notes:empty { display: none; }
.nbtk-notes > div { padding-left: 1em; text-indent: -1em; }
.nbtk-chips { display: flex; flex-wrap: wrap; gap: 4px; padding: 2px 4px 6px; }
.nbtk-chips-list { display: contents; }
.nbtk-board button {
  font: inherit; font-size: 11px; color: var(--nbtk-soft); background: none; cursor: pointer;
  border: 1px solid var(--nbtk-edge); border-radius: 9px; padding: 0 8px; line-height: 16px;
}
.nbtk-board button[aria-pressed="true"] { color: var(--nbtk-ink); border-color: var(--nbtk-soft); }
.nbtk-board button:hover { border-color: var(--nbtk-ink); }
.nbtk-board :focus-visible { outline: 2px solid var(--nbtk-brand); outline-offset: 1px; }
.nbtk-pointed { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.nbtk-slider { display: flex; min-width: 0; align-items: center; gap: 6px; color: var(--nbtk-soft); font-size: 11px; }
.nbtk-slider input { width: 90px; min-width: 30px; accent-color: var(--nbtk-soft); margin: 0; }
.nbtk-slider output { min-width: 3em; }
.nbtk-scrubber {
  display: flex; align-items: center; gap: 4px 10px; padding: 2px 4px 4px; position: sticky; top: 0; z-index: 3;
  background: var(--nbtk-page); font-size: 11px; color: var(--nbtk-soft);
}
.nbtk-scrubber > button:first-child { min-width: 30px; }
.nbtk-scrubber button:disabled { visibility: hidden; }
.nbtk-shown { min-width: 11.5em; white-space: nowrap; }
@container (max-width: 640px) {
  .nbtk-scrubber { flex-wrap: wrap; }
  .nbtk-scrubber button:disabled { display: none; }
  .nbtk-board .nbtk-tracks { flex-basis: calc(100% - 60px); }
  .nbtk-shown { line-height: 18px; }
}
.nbtk-holds .nbtk-shown { color: var(--nbtk-ink); font-weight: 600; }
.nbtk-holds > button { color: var(--nbtk-ink); }
.nbtk-tracks { flex: 1 1 120px; min-width: 80px; }
.nbtk-tracks input { --thumb: var(--nbtk-soft); display: block; width: 100%; height: 14px; margin: 0; appearance: none; background: none; cursor: pointer; }
.nbtk-holds .nbtk-tracks input { --thumb: var(--nbtk-brand); }
.nbtk-tracks input::-webkit-slider-runnable-track { height: 2px; background: var(--nbtk-edge); }
.nbtk-tracks input::-moz-range-track { height: 2px; background: var(--nbtk-edge); }
.nbtk-tracks input::-webkit-slider-thumb { appearance: none; width: 12px; height: 12px; margin-top: -5px; border-radius: 50%; background: var(--thumb); }
.nbtk-tracks input::-moz-range-thumb { width: 12px; height: 12px; border: 0; border-radius: 50%; background: var(--thumb); }
.nbtk-brush-track { position: relative; height: 9px; margin: 1px 6px 0; }
.nbtk-band { position: absolute; top: 1px; height: 3px; background: var(--nbtk-faint); }
.nbtk-some .nbtk-band { background: var(--nbtk-brand); cursor: grab; touch-action: none; }
.nbtk-some .nbtk-band::before { content: ""; position: absolute; inset: -3px 0; }
.nbtk-handle {
  position: absolute; top: -3px; width: 7px; height: 11px; margin-left: -4px; box-sizing: border-box; cursor: ew-resize;
  background: var(--nbtk-page); border: 1px solid var(--nbtk-soft); border-radius: 2px; touch-action: none;
}
.nbtk-handle::before { content: ""; position: absolute; inset: -4px -6px; }
.nbtk-some .nbtk-handle { border-color: var(--nbtk-ink); }
.nbtk-selection { position: absolute; left: 0; top: 0; background: var(--nbtk-brand); opacity: .18; pointer-events: none; }
.nbtk-grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(max(300px, 30%), 100%), 1fr)); grid-auto-flow: row dense; gap: 8px 14px; }
.nbtk-panel { min-width: 0; background: var(--nbtk-page); color: var(--nbtk-soft); border-top: 1px solid var(--nbtk-faint); padding: 4px 4px 0; }
.nbtk-panel header { position: relative; height: 36px; cursor: grab; touch-action: pan-y; user-select: none; -webkit-user-select: none; }
.nbtk-now { cursor: auto; }
.nbtk-title {
   font-weight: 600; color: var(--nbtk-ink); cursor: help; width: fit-content; max-width: calc(100% - 76px);
  white-space: nowrap; overflow: hidden; text-overflow: ellipsis;
}
.nbtk-panel header:not(:has(button:not([hidden]))) .nbtk-title { max-width: 100%; }
.nbtk-now {
  display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 1; overflow: hidden; overflow-wrap: anywhere;
  min-height: 17px; color: var(--nbtk-soft);
}
.nbtk-two > header { height: 52px; }
.nbtk-two .nbtk-now { -webkit-line-clamp: 2; }
.nbtk-now > span + span { margin-left: 8px; }
.nbtk-line::before { content: "●"; color: var(--nbtk-line); margin-right: 3px; font-size: 9px; }
.nbtk-tools { display: flex; flex-wrap: wrap; align-items: center; gap: 4px 16px; }
.nbtk-panel .nbtk-tools { position: absolute; top: 0; right: 0; gap: 4px; flex-wrap: nowrap; cursor: auto; }
.nbtk-panel .nbtk-tools button { min-width: 24px; padding: 0 6px; }
.nbtk-more { display: flex; gap: 4px; background: var(--nbtk-page); padding-left: 6px; }
@media (hover: hover) {
  .nbtk-more { opacity: 0; }
  .nbtk-panel:is(:hover, :focus-within) .nbtk-more { opacity: 1; }
}
.nbtk-carried { opacity: .6; }
.nbtk-carried header { cursor: grabbing; }
.nbtk-target { box-shadow: -3px 0 var(--nbtk-brand); }
.nbtk-target.nbtk-later { box-shadow: 3px 0 var(--nbtk-brand); }
.nbtk-stage { position: relative; min-height: 200px; }
.nbtk-tall { grid-row: span 2; }
@container (min-width: 640px) { .nbtk-wide { grid-column: span 2; } }
.nbtk-panel.nbtk-large { grid-column: 1 / -1; grid-row: auto; }
.nbtk-turns .nbtk-plot { cursor: grab; touch-action: none; }
.nbtk-turns .nbtk-plot:active { cursor: grabbing; }
.nbtk-hint { position: absolute; inset: 40% 0 auto 64px; text-align: center; pointer-events: none; }
.nbtk-cursor {
  position: absolute; left: 0; top: 0; width: 0; border-left: 1px dashed var(--nbtk-soft); pointer-events: none;
}
.nbtk-kept { position: absolute; left: 0; top: 0; width: 0; border-left: 1.5px solid var(--nbtk-brand); pointer-events: none; }
.nbtk-kept > span {
  position: absolute; left: -6px; bottom: -6px; width: 10px; height: 10px; border-radius: 50%; cursor: ew-resize;
  background: var(--nbtk-brand); border: 1px solid var(--nbtk-page); pointer-events: auto; touch-action: none;
}
`;
