"""From measurements to calibrations: least squares, the problems it solves, and the doubts that remain."""
