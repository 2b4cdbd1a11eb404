// The mouth's inside in closed form: upper row, lower row, tongue, cavity. As mouth/kernel.py, in linear light.
in vec2 pixel;
uniform mat3 toUpper, toLower;
uniform vec3 eyeUpper, eyeLower, teeth, tissue, dark;
uniform sampler2D rows; // x: |x| in steps; y: upper, lower; gap, edge, light
uniform sampler2D ownRow; // display values and how much is seen
uniform float lipUp, opening, tongue, bright, bared, pixelSize;
uniform vec2 crowns, brights, reaches; // upper, lower
uniform float arch, deepest, halfWidth, perMillimetre, ownHeight, entries;
out vec4 color;
float fall(float x) { return exp(-x * x * sqrt(x)); }
vec2 onPlane(mat3 m) {
  vec3 q = m * vec3(pixel, 1.0);
  return q.xy / q.z;
}
// Where the ray meets the dental arch behind a row's plane, and how far the arch faces the camera there.
vec3 onArch(vec2 p, vec3 eye) {
  vec2 along = (p - eye.xy) / eye.z;
  float there = p.x, depth = min(arch * p.x * p.x, deepest);
  for (int i = 0; i < 2; i++) {
    there = p.x + along.x * depth;
    depth = min(arch * there * there, deepest);
  }
  return vec3(there, p.y + along.y * depth, depth < deepest ? 1.0 - 2.0 * arch * along.x * there : 1.0);
}
float row(float x, float y, int which, float lit, float facing, out vec3 tone) {
  float away = abs(x), at = min(away * perMillimetre, entries - 1.001), part = fract(at);
  int i = int(at);
  vec3 shape = mix(texelFetch(rows, ivec2(i, which), 0).xyz, texelFetch(rows, ivec2(i + 1, which), 0).xyz, part);
  float crown = crowns[which], light0 = brights[which], reach = reaches[which];
  float blur = max(pixelSize, 0.25), h = y - shape.y;
  float coverage = smoothstep(-0.55 * blur, 0.55 * blur, h) * smoothstep(0.0, 6.0, halfWidth - away);
  coverage *= smoothstep(0.1, 0.55, facing);
  tone = vec3(0.0);
  if (coverage <= 0.0) return 0.0;
  float narrow = shape.x / max(0.35, 0.5 * blur);
  float shade = shape.z * (1.0 - 0.26 * exp(-narrow * narrow) * min(1.0, 0.6 / blur));
  shade *= 0.80 + 0.20 * smoothstep(0.0, 1.8, h);
  float falls = (0.12 + 0.88 * fall(away / reach)) * (1.0 - 0.18 * smoothstep(5.0, 10.0, h));
  falls *= 0.4 + 0.6 * smoothstep(0.2, 0.9, facing);
  coverage *= smoothstep(0.1, 0.35, falls);
  crown *= 1.0 - 0.25 * smoothstep(8.0, 24.0, away);
  float light = max(light0 * shade * falls * lit, 1e-4), across = (h - 3.4) / 1.5, along = x / 14.0;
  float gleam = 0.10 * exp(-across * across) * max(1.0 - along * along, 0.0) * light0 * lit;
  float gum = smoothstep(-0.8, 0.8, h - (crown - cos(3.14159265 * min(shape.x / 3.5, 1.0))));
  float reddest = max(tissue.r, max(tissue.g, tissue.b));
  vec3 tooth = teeth * (exp((1.0 + 0.45 * (1.0 - tissue / reddest)) * log(light)) + gleam);
  tone = mix(tooth, tissue * 0.85 * falls * lit, gum);
  return coverage;
}
void ownTeeth(float x, float y, float lit, inout vec3 tone) {
  vec2 size = vec2(textureSize(ownRow, 0));
  vec2 at = vec2((x + halfWidth) / (2.0 * halfWidth), max(y, 0.0) / ownHeight) * (size - 1.0);
  if (at.x < 0.0 || at.x >= size.x - 1.0 || at.y >= size.y - 1.0) return;
  vec4 seen = texture(ownRow, (at + 0.5) / size);
  tone = mix(tone, pow(seen.rgb, vec3(2.2)) * lit, seen.a);
}
// How much the tongue covers, its light, and the white on it.
vec3 tongueAt(float x, float y, float lit) {
  float wide = (x / 20.0) * (x / 20.0);
  float top = (tongue + 0.6) * sqrt(max(1.0 - 0.5 * wide * (1.0 + wide), 0.0)) - 0.6, rim = 1.4 + 0.13 * tongue;
  float there = smoothstep(-rim, rim, top - y) * smoothstep(0.0, 7.0, 21.0 - abs(x));
  if (there <= 0.0) return vec3(0.0);
  float dome = clamp((top - y) / max(tongue, 2.0), 0.0, 1.4), groove = x / 1.8;
  float light = (0.2 + 0.8 * smoothstep(0.0, 0.55, dome)) * bright;
  light *= 1.0 - 0.12 * exp(-groove * groove) * smoothstep(0.1, 0.5, dome);
  light *= (0.45 + 0.55 * fall(abs(x) / 15.0)) * (0.35 + 0.65 * lit);
  float beside = (abs(x) - 5.0) / 4.0, along = (dome - 0.45) / 0.22;
  float wet = 0.06 + 0.07 * exp(-beside * beside - along * along);
  light *= 1.0 - 0.35 * exp(-max(y + 0.5, 0.0) / 1.6);
  return vec3(there, light, wet * light);
}
void main() {
  float toothLight = 0.45 + 0.55 * bared, lit = smoothstep(2.0, 20.0, opening);
  vec2 up = onPlane(toUpper), low = onPlane(toLower);
  vec3 tone, sum = vec3(0.0), p = onArch(up, eyeUpper);
  float coverage = row(p.x, p.y, 0, toothLight, p.z, tone);
  if (coverage > 0.0) ownTeeth(p.x, p.y, toothLight, tone);
  sum = coverage * tone;
  float left = 1.0 - coverage;
  p = onArch(low, eyeLower);
  coverage = smoothstep(2.0, 5.0, opening) * row(p.x, -p.y, 1, toothLight, p.z, tone);
  sum += left * coverage * tone;
  left *= 1.0 - coverage;
  float v = clamp((lipUp - up.y) / max(opening, 1e-3), 0.0, 1.0);
  float deep = 0.4 + 0.9 * smoothstep(0.10, 0.95, v) * lit, off = (abs(up.x) - 20.0) / 6.0;
  float cheek = 0.10 * lit * exp(-off * off) * smoothstep(0.05, 0.5, v);
  vec3 t = tongueAt(low.x, low.y, lit), base = dark * deep + tissue * cheek;
  sum += left * mix(base, 1.15 * tissue * t.y + teeth * t.z, t.x);
  color = vec4(pow(max(sum, 0.0), vec3(1.0 / 2.2)), 1.0);
}
