// The photo's pixels and the inpainted ones, mixed by their weights as the splats of `surface.py` are. PLAIN: of triangles
// that are the photo's alone and all of which it shows.
centroid in vec2 photoAt;
#ifndef PLAIN
centroid in float photoZ;
centroid in vec2 atlasAt;
centroid in float share;
flat in float smeared;
flat in float inpainted;
flat in float behind;
#endif
uniform sampler2D photo; // rgb and matte
uniform sampler2D control; // whether there is a pixel, its fade exponent, its fringe
uniform sampler2D atlas;
uniform sampler2D atlasWeights; // matte, need
uniform sampler2DShadow front; // of the photo
uniform vec2 fringe;
uniform float doubtExponent;
uniform float inpaintWeight;
uniform float frontOpacity;
uniform float bias;
out vec4 color;
void main() {
  vec4 how = texture(control, photoAt);
  float own = how.r;
  bool atLeft = how.b > 0.25 && how.b <= 0.75, atRight = how.b > 0.75;
  float weight = atRight ? fringe.y : atLeft ? fringe.x : 1.0;
#ifdef PLAIN
  if (own * weight < frontOpacity) discard;
  vec4 sum = texture(photo, photoAt);
#else
  // What lay behind something in the photo has no pixels of its own there.
  if (behind > 1.5) own = 0.0;
  else if (behind > 0.5) own *= texture(front, vec3(photoAt.x, 1.0 - photoAt.y, photoZ - bias));
  if (inpainted > 0.5 && !atLeft && !atRight) weight = pow(max(share * smeared, 1e-6), 1.0 + doubtExponent * how.g);
  weight *= own;
  vec4 sum = weight * texture(photo, photoAt);
  if (inpainted > 0.5) {
    vec4 more = texture(atlasWeights, atlasAt);
    float least = inpaintWeight * max(more.g, 1e-3);
    float other = least + (1.0 - least) * (1.0 - share);
    sum += other * vec4(texture(atlas, atlasAt).rgb, more.r);
    weight += other;
  }
  if (weight < frontOpacity) discard;
  sum /= weight;
#endif
  color = vec4(sum.rgb * sum.a, sum.a);
}
