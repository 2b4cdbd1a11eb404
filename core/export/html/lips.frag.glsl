// The painted inside of the mouth behind the lips, as soft as the photo, in the shadow that they throw.
in vec2 pixel;
uniform sampler2D painted; // a window of the picture
uniform vec2 windowStart;
uniform mat3 toUpper;
uniform float under; // 1: all of it, to be seen where the person is not
uniform float share, growth, feather, soft, lipUp, opening, pixelSize, deep, lower, reach;
out vec4 color;
void main() {
  float within = inside(pixel) + growth;
  // A Gaussian's integral over a half plane; tanh, which large numbers overflow in, is within .002 of it.
  float x = clamp(within / feather, -4.0, 4.0), mask = 0.5 + 0.5 * tanh(0.7978846 * x * (1.0 + 0.044715 * x * x));
  if (mask * share <= 0.002) discard;
  vec2 size = vec2(textureSize(painted, 0)), at = pixel - windowStart + 0.5;
  vec3 sum = vec3(0.0);
  float total = 0.0;
  int far = soft > 0.0 ? 3 : 0;
  for (int y = -far; y <= far; y++)
    for (int i = -far; i <= far; i++) {
      float w = soft > 0.0 ? exp(-0.5 * float(i * i + y * y) / (soft * soft)) : 1.0;
      vec2 texel = vec2(at.x + float(i), size.y - (at.y + float(y)));
      sum += w * texture(painted, texel / size).rgb;
      total += w;
    }
  vec2 q = (toUpper * vec3(pixel, 1.0)).xy / (toUpper * vec3(pixel, 1.0)).z;
  float v = (lipUp - q.y) / max(opening, 1e-3);
  float shadow = deep * (lower + (1.0 - lower) * (1.0 - smoothstep(0.3, 0.7, v)));
  float shade = log(1.0 - shadow * exp(-max(within + 0.5, 0.0) * pixelSize / reach));
  color = vec4(sum / total * exp(vec3(0.9, 1.05, 1.1) * shade), max(mask * share, under));
}
