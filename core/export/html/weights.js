// How the photo gives way to what is inpainted where its triangles open to the view. As binding.py.

export class Weights {
  constructor({ arrays, values }) {
    this.triangles = arrays["mesh.triangles"];
    this.jacobian = arrays.jacobian;
    this.allPhoto = arrays.allPhoto;
    this.silhouette = arrays.silhouette;
    this.settings = values.binding;
    // How many pixels of the photo a head unit takes at a distance of one.
    this.unit = (values.focal * values.size) / 2;
    const points = this.allPhoto.length;
    this.share = new Float32Array(points);
    this.smeared = new Float32Array(this.triangles.length / 3);
    this.fringe = [1, 1];
    this.around = new Float32Array(points);
    for (const v of this.triangles) this.around[v]++;
    this.onSilhouette = [...this.silhouette.keys()].filter((v) => this.silhouette[v]);
    this.touching = [...this.smeared.keys()].filter((f) => [0, 1, 2].some((k) => this.silhouette[this.triangles[3 * f + k]]));
  }

  // How many pixels of the photo one of its pixels is drawn over on triangle f, along the longer axis.
  longest(points, f) {
    const { triangles, jacobian } = this;
    const a = 3 * triangles[3 * f], b = 3 * triangles[3 * f + 1], c = 3 * triangles[3 * f + 2], j = 6 * f;
    const across = points[a] / points[a + 2], down = points[a + 1] / points[a + 2];
    let xx = 0, xy = 0, yy = 0;
    for (let axis = 0; axis < 2; axis++) {
      const sa = jacobian[j + axis], sb = jacobian[j + 2 + axis], sc = jacobian[j + 4 + axis];
      const away = points[a + 2] * sa + points[b + 2] * sb + points[c + 2] * sc;
      const x = points[a] * sa + points[b] * sb + points[c] * sc - across * away;
      const y = points[a + 1] * sa + points[b + 1] * sb + points[c + 1] * sc - down * away;
      xx += x * x; xy += x * y; yy += y * y;
    }
    const half = (xx + yy) / 2;
    return (Math.sqrt(half + Math.sqrt(Math.max(half * half - xx * yy + xy * xy, 0))) * this.unit) / points[a + 2];
  }

  // Of points (M * 3) in the camera frame: `share` of the photo for every point, `smeared` for every triangle.
  update(points) {
    const { triangles, settings: s, share, smeared } = this;
    const stretch = new Float32Array(share.length);
    for (let f = 0; f < smeared.length; f++) {
      const longest = this.longest(points, f);
      smeared[f] = 1 / (1 + (longest / s.smeared_at) ** 6);
      const counted = Math.min(longest, s.longest);
      for (let k = 0; k < 3; k++) stretch[triangles[3 * f + k]] += counted;
    }
    for (let v = 0; v < share.length; v++) share[v] = this.shareOf(v, stretch[v]);
  }

  // Of a point, by the stretch of all triangles around it.
  shareOf(v, stretch) {
    return this.allPhoto[v] || !this.around[v] ? 1 : 1 / (1 + (stretch / this.around[v] / this.settings.blend_at) ** 6);
  }

  // What is left of the fringes beside silhouettes, of points (M * 3) with the photo's expression. As fringe.py.
  updateFringe(points) {
    const stretch = new Float64Array(this.share.length), sums = [0, 0], counts = [0, 0];
    for (const f of this.touching) {
      const counted = Math.min(this.longest(points, f), this.settings.longest);
      for (let k = 0; k < 3; k++) stretch[this.triangles[3 * f + k]] += counted;
    }
    for (const v of this.onSilhouette) {
      const side = this.silhouette[v] - 3;
      sums[side] += this.shareOf(v, stretch[v]);
      counts[side]++;
    }
    this.fringe = sums.map((total, side) => (total / Math.max(counts[side], 1)) ** this.settings.fringe_exponent);
  }
}
