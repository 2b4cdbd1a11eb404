// Draws one moment of the avatar with WebGL 2: the person, the mouth and the irises over it, what is behind, the mark.
import { Camera } from "./camera.js";
import { Chin } from "./chin.js";
import { bind, pictureTexture, program, target, texture, uniforms } from "./gl.js";
import { Head } from "./head.js";
import { irisView } from "./iris.js";
import { closeLid, closeNearlyShut, lidGaps } from "./lids.js";
import { Mouth } from "./mouth.js";
import { seenFrom, toCamera } from "./numeric.js";
import { Rig } from "./rig.js";
import { Weights } from "./weights.js";

const POINTS = 478, NEAR = 2, FAR = 60; // head units; depths are linear between them
const SAMPLES = 4; // of a pixel, by which outlines are smooth
const BIAS = 0.03; // head units by which a surface must lie behind another to be hidden by it in the photo
const SLOW = 0.045; // seconds a picture, from which on outlines are not smoothed: where WebGL is software
const AROUND = 24; // pixels of 512 around the face in which cracks are looked for
const WIDTH = 128; // of the textures that hold numbers

// The photo with its matte as alpha: one texture is read faster than two.
function withMatte(gl, photo, matte) {
  const read = (picture) => {
    const canvas = new OffscreenCanvas(picture.width, picture.height);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(picture, 0, 0);
    return context.getImageData(0, 0, picture.width, picture.height);
  };
  const both = read(photo), alpha = read(matte).data;
  for (let i = 3; i < alpha.length; i += 4) both.data[i] = alpha[i - 3];
  const made = texture(gl);
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA8, both.width, both.height, 0, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(both.data.buffer));
  return made;
}

export class Painter {
  constructor(canvas, data, shaders) {
    const { values, arrays, pictures } = data, side = values.size;
    canvas.width = canvas.height = side;
    const gl = canvas.getContext("webgl2", { alpha: false, antialias: false });
    if (!gl) throw new Error("WebGL 2 is needed, and this browser or its graphics driver has none");
    Object.assign(this, { gl, values, arrays, side });
    this.camera = new Camera(values);
    this.head = new Head(data);
    this.rig = new Rig(data);
    this.chin = new Chin(data);
    this.weights = new Weights(data);
    this.mouth = new Mouth(data, this.camera);
    this.textures = Object.fromEntries(Object.entries(pictures).map(([name, p]) => [name, pictureTexture(gl, p)]));
    const contour = (corners) => shaders["contour.glsl"].replaceAll("CORNERS", corners);
    const screen = (fragment) => program(gl, shaders["screen.vert.glsl"], fragment);
    this.programs = {
      person: program(gl, shaders["person.vert.glsl"], shaders["person.frag.glsl"]),
      mouth: screen(shaders["mouth.frag.glsl"]),
      lips: screen(contour(arrays["mouth.outline"].length / values.topology.innerLips.length) + shaders["lips.frag.glsl"]),
      iris: screen(contour(16) + shaders["iris.frag.glsl"]),
      compose: screen(shaders["compose.frag.glsl"]),
      composeFace: screen(`#define CRACKS\n${shaders["compose.frag.glsl"]}`),
      composeMark: screen(`#define MARKED\n${shaders["compose.frag.glsl"]}`),
    };
    this.textures.photo = withMatte(gl, pictures.photo, pictures.matte);
    this.makeMesh();
    this.makeTargets();
    this.makeEyes(pictures.photo);
    this.drawFront();
    this.behind = { color: values.background, plate: "plate" in pictures };
    if (!this.textures.plate) this.textures.plate = texture(gl);
    if (!this.textures.mark) this.textures.mark = texture(gl);
  }

  makeMesh() {
    const { gl, arrays, values } = this, triangles = arrays["mesh.triangles"], count = triangles.length / 3;
    const atlas = new Int32Array(count).fill(-1);
    arrays.inpainted.forEach((f, k) => { atlas[f] = k; });
    const hidden = arrays["mesh.hidden"], rows = new Float32Array(count * 3 * 8), pixels = arrays["mesh.pixels"], corners = arrays["atlas.corners"];
    for (let i = 0; i < triangles.length; i++) {
      const v = triangles[i], f = Math.floor(i / 3), k = atlas[f], corner = 6 * k + 2 * (i % 3);
      rows.set([v, f, pixels[2 * v], pixels[2 * v + 1], arrays["mesh.depth"][v],
        k < 0 ? -1 : corners[corner], k < 0 ? -1 : corners[corner + 1], hidden[f]], 8 * i);
    }
    this.vertices = triangles.length;
    this.mesh = gl.createVertexArray();
    gl.bindVertexArray(this.mesh);
    gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ARRAY_BUFFER, rows, gl.STATIC_DRAW);
    const { made } = this.programs.person;
    [["point", 1, 0], ["triangle", 1, 1], ["photoPixel", 2, 2], ["photoDepth", 1, 4], ["atlasPixel", 2, 5], ["partly", 1, 7]].forEach(
      ([name, size, at]) => {
        const place = gl.getAttribLocation(made, name);
        if (place < 0) return;
        gl.enableVertexAttribArray(place);
        gl.vertexAttribPointer(place, size, gl.FLOAT, false, 32, 4 * at);
      });
    this.nothing = gl.createVertexArray();
    const numbers = (length, format) => {
      const made = texture(gl, gl.NEAREST), rows = Math.ceil(length / WIDTH);
      gl.texStorage2D(gl.TEXTURE_2D, 1, format, WIDTH, rows);
      return [made, rows];
    };
    [this.textures.points, this.pointRows] = numbers(this.rig.count, gl.RGBA32F);
    [this.textures.smears, this.smearRows] = numbers(count, gl.R32F);
    [this.textures.rows] = [texture(gl, gl.NEAREST)];
    const entries = arrays["mouth.upper"].length / 3, table = new Float32Array(entries * 8);
    ["mouth.upper", "mouth.lower"].forEach((name, row) => {
      for (let i = 0; i < entries; i++) table.set(arrays[name].subarray(3 * i, 3 * i + 3), 4 * (row * entries + i));
    });
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA32F, entries, 2, 0, gl.RGBA, gl.FLOAT, table);
    this.entries = entries;
    this.pointValues = new Float32Array(WIDTH * this.pointRows * 4);
    this.smearValues = new Float32Array(WIDTH * this.smearRows);
  }

  makeTargets() {
    const { gl, side } = this;
    this.person = target(gl, side, side);
    const depth = gl.createRenderbuffer();
    gl.bindRenderbuffer(gl.RENDERBUFFER, depth);
    gl.renderbufferStorage(gl.RENDERBUFFER, gl.DEPTH_COMPONENT24, side, side);
    gl.framebufferRenderbuffer(gl.FRAMEBUFFER, gl.DEPTH_ATTACHMENT, gl.RENDERBUFFER, depth);
    this.smooth = true;
    this.painted = null; // the mouth's window, as large as it is needed
    this.samples = gl.createFramebuffer();
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.samples);
    for (const [place, format] of [[gl.COLOR_ATTACHMENT0, gl.RGBA8], [gl.DEPTH_ATTACHMENT, gl.DEPTH_COMPONENT24]]) {
      const buffer = gl.createRenderbuffer();
      gl.bindRenderbuffer(gl.RENDERBUFFER, buffer);
      gl.renderbufferStorageMultisample(gl.RENDERBUFFER, SAMPLES, format, side, side);
      gl.framebufferRenderbuffer(gl.FRAMEBUFFER, place, gl.RENDERBUFFER, buffer);
    }
  }

  // The photo's pixels around the eyes, to be changed as the lids close.
  makeEyes(photo) {
    const { arrays, values } = this;
    this.lids = values.lids.map((lid, k) => {
      const [x, y, width, height] = lid.box;
      const canvas = new OffscreenCanvas(width, height), context = canvas.getContext("2d", { willReadFrequently: true });
      context.drawImage(photo, -x, -y);
      const open = context.getImageData(0, 0, width, height).data;
      return { ...lid, maps: arrays[`lid.${k}`], open, now: new Uint8Array(open.length), shut: false };
    });
  }

  // The depth of what the photo shows in front: what lies behind it there has no pixels of its own.
  drawFront() {
    const { gl, values } = this, made = texture(gl);
    gl.texStorage2D(gl.TEXTURE_2D, 1, gl.DEPTH_COMPONENT24, values.side, values.side);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_COMPARE_MODE, gl.COMPARE_REF_TO_TEXTURE);
    const buffer = gl.createFramebuffer();
    gl.bindFramebuffer(gl.FRAMEBUFFER, buffer);
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.DEPTH_ATTACHMENT, gl.TEXTURE_2D, made, 0);
    gl.drawBuffers([gl.NONE]);
    gl.viewport(0, 0, values.side, values.side);
    gl.enable(gl.DEPTH_TEST);
    gl.clear(gl.DEPTH_BUFFER_BIT);
    this.textures.front = texture(gl); // not the one that is drawn into
    this.drawMesh(true, [1, 1]);
    gl.deleteFramebuffer(buffer);
    this.textures.front = made;
  }

  drawMesh(shadow, fringe, view) {
    const { gl, values, textures: t } = this, { person } = this.programs, atlas = values.atlasSize;
    gl.useProgram(person.made);
    gl.bindVertexArray(this.mesh);
    bind(gl, person, {
      points: t.points, smears: t.smears, photo: t.photo, control: t.control, atlas: t.atlas,
      atlasWeights: t.atlasWeights, front: t.front,
    });
    const V = view || [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0];
    uniforms(gl, person, {
      view: [V[0], V[4], V[8], V[1], V[5], V[9], V[2], V[6], V[10]], viewShift: [V[3], V[7], V[11]],
      focal: values.focal, side: values.side, atlasSize: atlas, depths: [NEAR, FAR], shadow: shadow ? 1 : 0, fringe,
      doubtExponent: values.doubtExponent, inpaintWeight: values.inpaintWeight, frontOpacity: values.frontOpacity,
      bias: BIAS / (FAR - NEAR),
    });
    gl.drawArrays(gl.TRIANGLES, 0, this.vertices);
  }

  // A moment: expression (100), pose (12), transform (12), torso (4) or null, interior of the mouth (4) or null, view
  // (12) or null. Where its points are: `face` in head space, `points` of the mesh in the camera frame, `pixels`.
  place({ expression, pose, transform, torso, interior, view, anchor }) {
    const { values } = this;
    let face = this.head.evaluate(expression, pose);
    face = closeNearlyShut(face, values.openings, values.topology, values.eyeSettings);
    const gaps = lidGaps(face, values.topology);
    this.chin.unfold(face);
    const points = this.rig.pose(face, transform, torso, anchor, view, this.pointsNow);
    this.pointsNow = points;
    const seen = seenFrom(transform, view), camera = new Float64Array(3 * POINTS);
    for (let v = 0; v < POINTS; v++) camera.set(toCamera([face[3 * v], face[3 * v + 1], face[3 * v + 2]], seen), 3 * v);
    return { face, gaps, points, pixels: this.camera.toPixels(camera, POINTS), seen, interior, view };
  }

  // The mesh's points where they would be with the photo's expression.
  still({ transform, torso, view, anchor }, out) {
    return this.rig.pose(this.rig.face, transform, torso, anchor, view, out);
  }

  draw(moment) {
    const { gl, side } = this, now = this.place(moment);
    this.weights.update(now.points);
    if (this.weights.onSilhouette.length)
      this.weights.updateFringe((this.pointsStill = this.still(moment, this.pointsStill)));
    for (let v = 0; v < this.rig.count; v++) {
      for (let k = 0; k < 3; k++) this.pointValues[4 * v + k] = now.points[3 * v + k];
      this.pointValues[4 * v + 3] = this.weights.share[v];
    }
    this.smearValues.set(this.weights.smeared);
    const put = (made, rows, format, values) => {
      gl.bindTexture(gl.TEXTURE_2D, made);
      gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, WIDTH, rows, format, gl.FLOAT, values);
    };
    gl.activeTexture(gl.TEXTURE0);
    put(this.textures.points, this.pointRows, gl.RGBA, this.pointValues);
    put(this.textures.smears, this.smearRows, gl.RED, this.smearValues);
    this.closeEyes(now.gaps);
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.smooth ? this.samples : this.person.buffer);
    gl.viewport(0, 0, side, side);
    gl.disable(gl.BLEND);
    gl.enable(gl.DEPTH_TEST);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    this.drawMesh(false, this.weights.fringe, now.view);
    if (this.smooth) {
      gl.bindFramebuffer(gl.READ_FRAMEBUFFER, this.samples);
      gl.bindFramebuffer(gl.DRAW_FRAMEBUFFER, this.person.buffer);
      gl.blitFramebuffer(0, 0, side, side, 0, 0, side, side, gl.COLOR_BUFFER_BIT, gl.NEAREST);
    }
    gl.disable(gl.DEPTH_TEST);
    gl.bindVertexArray(this.nothing);
    this.drawMouth(now);
    this.drawIrises(now);
    this.compose(now);
    return now;
  }

  closeEyes(gaps) {
    const { gl, values } = this;
    for (const lid of this.lids) {
      const shut = closeLid(lid.now, lid.open, lid.maps, gaps[lid.side], lid.opening, values.lidSettings);
      if (!shut && !lid.shut) continue;
      lid.shut = shut;
      const [x, y, width, height] = lid.box;
      gl.bindTexture(gl.TEXTURE_2D, this.textures.photo);
      gl.texSubImage2D(gl.TEXTURE_2D, 0, x, y, width, height, gl.RGBA, gl.UNSIGNED_BYTE, lid.now);
    }
  }

  // Whether what was drawn last is still being drawn: where WebGL is software it takes longer than it takes to ask for it,
  // and whoever waits for it keeps the tracker from working meanwhile.
  get busy() {
    const { gl } = this;
    if (this.fence) {
      if (gl.getSyncParameter(this.fence, gl.SYNC_STATUS) !== gl.SIGNALED) return true;
      gl.deleteSync(this.fence);
      this.fence = null;
      this.took((performance.now() - this.began) / 1000);
    }
    return false;
  }

  // Draws a moment and lets `busy` say until when.
  begin(moment) {
    const { gl } = this;
    this.began = performance.now();
    this.draw(moment);
    this.fence = gl.fenceSync(gl.SYNC_GPU_COMMANDS_COMPLETE, 0);
    gl.flush();
  }

  // Wait until it is drawn.
  finish() {
    const { gl } = this;
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.person.buffer);
    gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4));
  }

  // What the last pictures took, seconds each: outlines are smooth where there is time for it.
  took(seconds) {
    this.mean = this.mean === undefined ? seconds : 0.9 * this.mean + 0.1 * seconds;
    this.drawn = (this.drawn || 0) + 1;
    if (this.drawn > 20 && this.mean > SLOW) this.smooth = false;
  }

  // Draws a program over a part of what is bound: x, y, width, height in pixels of a picture of a size.
  fill(made, box, size, values, textures) {
    const { gl } = this;
    gl.useProgram(made.made);
    bind(gl, made, textures);
    uniforms(gl, made, { box, size, ...values });
    gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
  }

  // The pixels around points (N * 2), at most the picture: x, y, width, height.
  window(points, margin) {
    let [x0, y0, x1, y1] = [this.side, this.side, 0, 0];
    for (let i = 0; i < points.length; i += 2) {
      x0 = Math.min(x0, points[i]); x1 = Math.max(x1, points[i]);
      y0 = Math.min(y0, points[i + 1]); y1 = Math.max(y1, points[i + 1]);
    }
    x0 = Math.max(Math.floor(x0) - margin, 0); y0 = Math.max(Math.floor(y0) - margin, 0);
    x1 = Math.min(Math.ceil(x1) + margin + 1, this.side); y1 = Math.min(Math.ceil(y1) + margin + 1, this.side);
    return [x0, y0, Math.max(x1 - x0, 0), Math.max(y1 - y0, 0)];
  }

  drawMouth({ face, pixels, seen, interior }) {
    const { gl, mouth, side } = this, { about, settings } = mouth, share = mouth.share(face);
    const outline = mouth.outline(pixels), scale = this.camera.scale, box = this.window(outline, 4);
    if (share === 0 || box[2] < 5 || box[3] < 5) return;
    const view = mouth.view(face, pixels, seen, interior), { shape, upper, lower, shadow } = settings;
    if (!this.painted || this.painted.width < box[2] || this.painted.height < box[3]) {
      this.painted = target(gl, Math.max(box[2], this.painted ? this.painted.width : 0),
        Math.max(box[3], this.painted ? this.painted.height : 0));
    }
    const { width, height } = this.painted;
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.painted.buffer);
    gl.viewport(0, 0, width, height);
    gl.disable(gl.BLEND);
    const common = {
      toUpper: view.toUpper, lipUp: view.lipUp, opening: view.opening, pixelSize: view.pixel,
    };
    // The window lies in the picture's corner of its target; `pixel` counts in the picture.
    this.fill(this.programs.mouth, [box[0], box[1], width, height], [width, height], {
      ...common, origin: [box[0], box[1]],
      toLower: view.toLower, eyeUpper: view.eyeUpper, eyeLower: view.eyeLower, teeth: about.teeth, tissue: about.tissue,
      dark: about.dark, tongue: view.tongue, bright: view.bright, bared: view.bared, arch: shape.arch,
      crowns: [upper.crown, lower.crown], brights: [upper.bright, lower.bright], reaches: [upper.reach, lower.reach],
      deepest: shape.deepest, halfWidth: shape.half_width, perMillimetre: about.perMillimetre,
      ownHeight: about.textureHeight, entries: this.entries,
    }, { rows: this.textures.rows, ownRow: this.textures["mouth.photo"] });
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.person.buffer);
    gl.viewport(0, 0, side, side);
    // First where nothing is yet between parted lips, so that what is behind the person does not shine through.
    for (const under of [1, 0]) {
      this.blend(under);
      this.fill(this.programs.lips, box, [side, side], {
        ...common, origin: [0, 0], contour: outline, windowStart: [box[0], box[1]], share, soft: about.soft * scale,
        growth: settings.outline.growth * scale, feather: settings.outline.feather * scale, deep: shadow.deep,
        lower: shadow.lower, reach: view.reach, under,
      }, { painted: this.painted.texture });
    }
  }

  drawIrises({ pixels }) {
    const { gl, values, side } = this;
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.person.buffer);
    gl.viewport(0, 0, side, side);
    this.blend();
    values.irises.forEach((iris, k) => {
      const view = irisView(iris, pixels, values.topology, values.irisSettings, this.camera.scale);
      if (!view) return;
      const contour = view.contour.flat();
      this.fill(this.programs.iris, this.window(contour, 2), [side, side], { ...view, contour, origin: [0, 0] },
        { iris: this.textures[`iris.${k}`] });
    });
  }

  // What is painted goes over the person and changes nothing of how much there is of it; `under`: or behind it.
  blend(under = 0) {
    const { gl } = this;
    gl.enable(gl.BLEND);
    if (under) gl.blendFunc(gl.ONE_MINUS_DST_ALPHA, gl.ONE);
    else gl.blendFuncSeparate(gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA, gl.ZERO, gl.ONE);
  }

  compose({ pixels }) {
    const { gl, side, values, behind } = this, whole = [0, 0, side, side];
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    gl.viewport(0, 0, side, side);
    gl.disable(gl.BLEND);
    const over = (made, [x, y, width, height], mirrored = this.mirrored) => this.fill(
      made, [mirrored ? side - x - width : x, y, width, height], [side, side], {
        origin: [0, 0], behind: [...behind.color, behind.plate ? 1 : 0], mirrored: this.mirrored ? 1 : 0,
        markBox: values.mark || whole,
      }, { person: this.person.texture, plate: this.textures.plate, mark: this.textures.mark });
    over(this.programs.compose, whole);
    over(this.programs.composeFace, this.window(pixels, Math.round(AROUND * this.camera.scale)));
    if (values.mark) over(this.programs.composeMark, values.mark, false);
  }
}
