/** The page's event when a run begins to be followed, with the id of its Board: tabs of JupyterLab wait for it. */
export const BEGUN = "nbtoolkit-begun";
