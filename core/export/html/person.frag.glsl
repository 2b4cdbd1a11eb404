// The photo's pixels and the inpainted ones, mixed by their weights as the splats of `surface.py` are.
centroid in vec2 photoAt;
centroid in float photoZ;
centroid in vec2 atlasAt;
centroid in float share;
flat in float smeared;
flat in float inpainted;
flat in float behind;
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
  float weight = 0.0;
  vec4 sum = vec4(0.0);
  if (how.r > 0.0) {
    float own = how.r;
    // What lay behind something in the photo has no pixels of its own there.
    if (behind > 1.5) own = 0.0;
    else if (behind > 0.5) own *= texture(front, vec3(photoAt.x, 1.0 - photoAt.y, photoZ - bias));
    weight = 1.0;
    if (how.b > 0.75) weight = fringe.y;
    else if (how.b > 0.25) weight = fringe.x;
    else if (inpainted > 0.5) weight = pow(max(share * smeared, 1e-6), 1.0 + doubtExponent * how.g);
    weight *= own;
    sum = weight * texture(photo, photoAt);
  }
  if (inpainted > 0.5) {
    vec4 more = texture(atlasWeights, atlasAt);
    float least = inpaintWeight * max(more.g, 1e-3);
    float other = least + (1.0 - least) * (1.0 - share);
    sum += other * vec4(texture(atlas, atlasAt).rgb, more.r);
    weight += other;
  }
  if (weight < frontOpacity) discard;
  sum /= weight;
  color = vec4(sum.rgb * sum.a, sum.a);
}
