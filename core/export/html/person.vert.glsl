// The proxy mesh: where its points are is in a texture, which a picture changes; the rest stays.
in float point;
in float triangle;
in vec2 photoPixel;
in float photoDepth;
in vec2 atlasPixel; // negative where nothing is inpainted
in float partly; // 1 where something lies before it in the photo, 2 where that hides it
uniform sampler2D points; // x y z in the camera frame, share of the photo
uniform sampler2D smears; // of triangles
uniform mat3 view;
uniform vec3 viewShift;
uniform float focal;
uniform float side;
uniform vec2 atlasSize;
uniform vec2 depths; // near and far
uniform bool shadow; // draw the photo's own depths
// Centroid: the samples of a pixel that a triangle covers in part must not look beyond its border.
centroid out vec2 photoAt;
centroid out float photoZ;
centroid out vec2 atlasAt;
centroid out float share;
flat out float smeared;
flat out float inpainted;
flat out float behind;
ivec2 texel(float i, sampler2D of) {
  int width = textureSize(of, 0).x;
  return ivec2(int(i) % width, int(i) / width);
}
void main() {
  vec4 there = texelFetch(points, texel(point, points), 0);
  photoAt = (photoPixel + 0.5) / side;
  photoZ = (photoDepth - depths.x) / (depths.y - depths.x);
  atlasAt = (atlasPixel + 0.5) / atlasSize;
  inpainted = atlasPixel.x < 0.0 ? 0.0 : 1.0;
  behind = partly;
  share = there.w;
  smeared = texelFetch(smears, texel(triangle, smears), 0).x;
  if (shadow) {
    gl_Position = vec4(2.0 * photoAt.x - 1.0, 1.0 - 2.0 * photoAt.y, 2.0 * photoZ - 1.0, 1.0);
    return;
  }
  vec3 p = view * there.xyz + viewShift;
  float z = (p.z - depths.x) / (depths.y - depths.x);
  gl_Position = vec4(-focal * p.x, focal * p.y, (2.0 * z - 1.0) * p.z, p.z);
}
