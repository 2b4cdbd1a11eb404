// The person over what is behind them, and the mark over both.
in vec2 pixel;
uniform sampler2D person; // premultiplied, upside down as everything that was drawn
uniform sampler2D plate;
uniform sampler2D mark;
uniform vec4 markBox; // x, y, width, height
uniform vec4 behind; // a colour, and whether the plate is shown in its place
uniform float mirrored;
out vec4 color;
void main() {
  vec2 at = (pixel + 0.5) / vec2(textureSize(person, 0));
  vec2 seen = vec2(mirrored > 0.5 ? 1.0 - at.x : at.x, at.y);
  vec4 p = texture(person, vec2(seen.x, 1.0 - seen.y));
  vec3 back = mix(behind.rgb, texture(plate, seen).rgb, behind.a);
  vec3 sum = p.rgb + back * (1.0 - p.a);
  vec2 there = (pixel + 0.5 - markBox.xy) / markBox.zw;
  if (all(greaterThan(there, vec2(0.0))) && all(lessThan(there, vec2(1.0)))) {
    vec4 m = texture(mark, there);
    sum = sum * (1.0 - m.a) + m.rgb;
  }
  color = vec4(sum, 1.0);
}
