// The person over what is behind them, and the mark over both. With CRACKS, cracks in the person are filled: software
// WebGL computes all of a shader for every pixel, whatever its branches say, so that is done only where a face is.
in vec2 pixel;
uniform sampler2D person; // premultiplied, upside down as everything that was drawn
uniform sampler2D plate;
uniform sampler2D mark;
uniform vec4 markBox; // x, y, width, height
uniform vec4 behind; // a colour, and whether the plate is shown in its place
uniform float mirrored;
out vec4 color;
#ifdef CRACKS
// What of a picture of 512 is a crack: so many pixels away the person is on both sides of it.
const float[2] REACH = float[2](3.0, 7.0);

// The person where it is there, and what is around a crack in it: where skin that the photo hides is turned to the view,
// triangles are stretched and leave one. Thin gaps between the person and something else have no person along them.
vec4 whole(vec2 at) {
  vec4 there = texture(person, at);
  if (there.a > 0.99) return there;
  for (int reach = 0; reach < 2; reach++) {
    float pairs = 0.0;
    vec4 around = vec4(0.0);
    for (int i = 0; i < 4; i++) {
      float angle = 0.785398 * float(i);
      vec2 away = REACH[reach] / 512.0 * vec2(cos(angle), sin(angle));
      vec4 one = texture(person, at + away), other = texture(person, at - away);
      if (min(one.a, other.a) > 0.99) {
        pairs += 1.0;
        around += 0.5 * (one + other);
      }
    }
    if (pairs > 2.5) return there + (1.0 - there.a) * around / pairs;
  }
  return there;
}
#else
vec4 whole(vec2 at) { return texture(person, at); }
#endif

void main() {
  vec2 at = (pixel + 0.5) / vec2(textureSize(person, 0));
  vec2 seen = vec2(mirrored > 0.5 ? 1.0 - at.x : at.x, at.y);
  vec4 p = whole(vec2(seen.x, 1.0 - seen.y));
  vec3 back = mix(behind.rgb, texture(plate, seen).rgb, behind.a);
  color = vec4(p.rgb + back * (1.0 - p.a), 1.0);
#ifdef MARKED
  vec4 m = texture(mark, (pixel + 0.5 - markBox.xy) / markBox.zw);
  color.rgb = color.rgb * (1.0 - m.a) + m.rgb;
#endif
}
