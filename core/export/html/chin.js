// The skin below the lower lip is never folded under the lip. As chin.py.

export class Chin {
  constructor({ arrays, values }) {
    this.photo = arrays["chin.photo"];
    this.triangles = arrays["chin.triangles"];
    this.columns = values.chinColumns;
    this.settings = values.chinSettings;
    const s = this.settings, count = new Float64Array(478), free = new Float64Array(478);
    for (const v of this.triangles) count[v]++;
    for (const column of this.columns) {
      for (const v of column.slice(1, -1)) free[v] = 1;
      free[column[column.length - 1]] = s.jaw_moves;
    }
    this.count = count.map((c) => Math.max(c, 1));
    this.free = free;
    this.reference = this.areas(this.photo);
  }

  areas(face) {
    const t = this.triangles, out = new Float64Array(t.length / 3);
    for (let f = 0; f < out.length; f++) {
      const [a, b, c] = [t[3 * f], t[3 * f + 1], t[3 * f + 2]];
      const x = (i) => face[3 * i], y = (i) => face[3 * i + 1];
      out[f] = ((x(b) - x(a)) * (y(c) - y(a)) - (y(b) - y(a)) * (x(c) - x(a))) / 2;
    }
    return out;
  }

  // Changes the face (478 * 3).
  unfold(face) {
    const { photo, settings } = this;
    for (const column of this.columns) {
      for (let k = 1; k < column.length; k++) {
        const here = 3 * column[k] + 1, above = 3 * column[k - 1] + 1;
        const least = settings.least * Math.max(photo[above] - photo[here], 0);
        face[here] = Math.min(face[here], face[above] - least);
      }
    }
    this.spread(face);
    this.unflip(face);
  }

  spread(face) {
    const { photo, settings } = this;
    for (const column of this.columns) {
      const y = (k) => 3 * column[k] + 1, last = column.length - 1;
      const whole = (face[y(0)] - face[y(last)]) / Math.max(photo[y(0)] - photo[y(last)], 1e-6);
      const most = Math.max(settings.most, whole);
      for (let k = 1; k < last; k++) {
        const gap = Math.max(photo[y(k - 1)] - photo[y(k)], 0);
        face[y(k)] = Math.max(face[y(k)], face[y(k - 1)] - most * gap);
      }
    }
  }

  unflip(face) {
    const { triangles, reference, free, count, settings } = this;
    const least = reference.map((a) => settings.least_area * Math.abs(a)), sign = reference.map(Math.sign);
    if (this.areas(face).every((a, f) => sign[f] * a >= least[f])) return;
    const step = new Float64Array(face.length);
    for (let round = 0; round < settings.rounds; round++) {
      step.fill(0);
      const area = this.areas(face);
      for (let f = 0; f < area.length; f++) {
        const lacks = Math.max(least[f] - sign[f] * area[f], 0);
        if (!lacks) continue;
        const v = [triangles[3 * f], triangles[3 * f + 1], triangles[3 * f + 2]];
        // The area's gradient at a corner: half of the opposite side, turned.
        const slope = v.map((_, k) => {
          const p = 3 * v[(k + 1) % 3], q = 3 * v[(k + 2) % 3];
          return [-(face[q + 1] - face[p + 1]) / 2, (face[q] - face[p]) / 2];
        });
        let norm = 0;
        v.forEach((i, k) => { norm += free[i] * (slope[k][0] ** 2 + slope[k][1] ** 2); });
        const give = (lacks * sign[f]) / Math.max(norm, 1e-9);
        v.forEach((i, k) => {
          step[3 * i] += free[i] * give * slope[k][0];
          step[3 * i + 1] += free[i] * give * slope[k][1];
        });
      }
      for (let i = 0; i < count.length; i++)
        for (let k = 0; k < 2; k++) face[3 * i + k] += (settings.overrelaxed * step[3 * i + k]) / count[i];
    }
  }
}
