// An iris between the lids. The texture has it twice, side by side: with what is around it in the photo, and completed.
in vec2 pixel;
uniform sampler2D iris;
uniform vec2 centre;
uniform mat2 toPhoto;
uniform float radius;
uniform vec2 disc;
uniform float moved;
uniform float open;
uniform float grow;
out vec4 color;
void main() {
  float lids = clamp(inside(pixel) + grow + 0.5, 0.0, 1.0);
  vec2 place = toPhoto * (pixel - centre);
  float away = length(place) / radius;
  float alpha = (1.0 - smoothstep(disc.x, disc.y, away)) * lids * open;
  if (alpha <= 0.0) discard;
  float n = float(textureSize(iris, 0).y);
  vec2 at = clamp((place + 0.5 * n) / n, vec2(0.5 / n), vec2(1.0 - 0.5 / n));
  vec3 whole = texture(iris, vec2(at.x / 2.0, at.y)).rgb, around = texture(iris, vec2((at.x + 1.0) / 2.0, at.y)).rgb;
  color = vec4(mix(around, whole, moved), alpha);
}
