// The recorded motion: the parameters of a moment.

export class Motion {
  constructor({ arrays, values }) {
    this.arrays = arrays;
    this.times = arrays["motion.times"];
    this.length = values.length;
    this.frames = this.times.length;
  }

  // The frame that is shown at a time in seconds.
  indexAt(seconds) {
    let low = 0, high = this.frames - 1;
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (this.times[middle] <= seconds + 1e-6) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  at(index) {
    const row = (name, size) => {
      const values = this.arrays[`motion.${name}`];
      return values ? Array.from(values.subarray(size * index, size * (index + 1))) : null;
    };
    return {
      expression: row("expression", 100), pose: row("pose", 12), transform: row("transform", 12),
      torso: row("torso_motion", 4), interior: row("mouth_interior", 4),
    };
  }

  // The photo's own moment.
  still() {
    const [expression, pose, transform] = ["expression", "pose", "transform"].map((n) => Array.from(this.arrays[`still.${n}`]));
    return { expression, pose, transform, torso: [0, 0, 0, 0], interior: null };
  }
}
