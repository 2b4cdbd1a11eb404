// The few things of WebGL 2 that the painters share.

export function program(gl, vertex, fragment) {
  const made = gl.createProgram();
  for (const [kind, source] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, `#version 300 es\nprecision highp float;\nprecision highp sampler2DShadow;\n${source}`);
    gl.compileShader(shader);
    gl.attachShader(made, shader);
    if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader));
  }
  gl.linkProgram(made);
  if (!gl.getProgramParameter(made, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(made));
  const places = {}, count = gl.getProgramParameter(made, gl.ACTIVE_UNIFORMS);
  for (let i = 0; i < count; i++) {
    const { name, type, size } = gl.getActiveUniform(made, i);
    places[name.replace("[0]", "")] = [gl.getUniformLocation(made, name), type, size];
  }
  return { made, places };
}

// Set uniforms by name; what the shader does not use is left out.
export function uniforms(gl, { places }, values) {
  for (const [name, value] of Object.entries(values)) {
    if (!(name in places)) continue;
    const [place, type] = places[name];
    switch (type) {
      case gl.FLOAT: value.length === undefined ? gl.uniform1f(place, value) : gl.uniform1fv(place, value); break;
      case gl.FLOAT_VEC2: gl.uniform2fv(place, value); break;
      case gl.FLOAT_VEC3: gl.uniform3fv(place, value); break;
      case gl.FLOAT_VEC4: gl.uniform4fv(place, value); break;
      case gl.FLOAT_MAT2: gl.uniformMatrix2fv(place, false, value); break;
      case gl.FLOAT_MAT3: gl.uniformMatrix3fv(place, true, value); break; // ours are rows
      default: gl.uniform1i(place, value);
    }
  }
}

export function texture(gl, filter = gl.LINEAR) {
  const made = gl.createTexture();
  gl.bindTexture(gl.TEXTURE_2D, made);
  for (const name of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, name, filter);
  for (const name of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) gl.texParameteri(gl.TEXTURE_2D, name, gl.CLAMP_TO_EDGE);
  return made;
}

export function pictureTexture(gl, picture) {
  const made = texture(gl);
  gl.pixelStorei(gl.UNPACK_PREMULTIPLY_ALPHA_WEBGL, false);
  gl.pixelStorei(gl.UNPACK_COLORSPACE_CONVERSION_WEBGL, gl.NONE);
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA8, gl.RGBA, gl.UNSIGNED_BYTE, picture);
  return made;
}

export function target(gl, width, height) {
  const made = texture(gl);
  gl.texStorage2D(gl.TEXTURE_2D, 1, gl.RGBA8, width, height);
  const buffer = gl.createFramebuffer();
  gl.bindFramebuffer(gl.FRAMEBUFFER, buffer);
  gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, made, 0);
  return { texture: made, buffer, width, height };
}

// Textures onto the units from `first` on, and the samplers of a program to them.
export function bind(gl, { places }, textures) {
  Object.entries(textures).forEach(([name, made], unit) => {
    if (!(name in places)) return;
    gl.activeTexture(gl.TEXTURE0 + unit);
    gl.bindTexture(gl.TEXTURE_2D, made);
    gl.uniform1i(places[name][0], unit);
  });
}
