// The pinhole camera of a square picture, its axis through the middle; pixel centres are integers.

export class Camera {
  constructor({ size, focal }) {
    this.size = size;
    this.focal = focal;
  }

  get scale() { return this.size / 512; }

  get unit() { return (this.focal * this.size) / 2; }

  // Pixels (N * 2) of the first `count` points (N * 3) in the camera frame.
  toPixels(points, count) {
    const out = new Float64Array(2 * count);
    for (let i = 0; i < count; i++)
      for (let k = 0; k < 2; k++)
        out[2 * i + k] = ((1 - (this.focal * points[3 * i + k]) / points[3 * i + 2]) * this.size - 1) / 2;
    return out;
  }
}
