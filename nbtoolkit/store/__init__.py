"""The waist of the house: what a run measured, as labelled arrays in memory and on disk."""
