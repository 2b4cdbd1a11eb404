// The One-Euro filter (Casiez, Roussel and Vogel, CHI 2012): smooth what rests, follow what moves.

const weight = (cutoff, passed) => {
  const r = 2 * Math.PI * cutoff * passed;
  return r / (r + 1);
};

export class OneEuro {
  constructor({ cutoff = 1, slope = 0, derivative = 1 } = {}) {
    Object.assign(this, { cutoff, slope, derivative, last: null });
  }

  reset() { this.last = null; }

  // Values (N) at a time in seconds, filtered.
  next(values, now) {
    if (this.last === null || now <= this.last.now) {
      if (this.last === null) this.last = { now, values: Array.from(values), speeds: new Array(values.length).fill(0) };
      return this.last.values;
    }
    const passed = now - this.last.now, speeds = [], out = [];
    for (let i = 0; i < values.length; i++) {
      const before = this.last.values[i], speed = (values[i] - before) / passed;
      speeds[i] = this.last.speeds[i] + weight(this.derivative, passed) * (speed - this.last.speeds[i]);
      out[i] = before + weight(this.cutoff + this.slope * Math.abs(speeds[i]), passed) * (values[i] - before);
    }
    this.last = { now, values: out, speeds };
    return out;
  }
}
