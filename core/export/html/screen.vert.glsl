// A part of the picture, in pixels from its upper left: x, y, width, height.
uniform vec4 box;
uniform vec2 size;
uniform vec2 origin; // of what is drawn into, in the picture
out vec2 pixel;
void main() {
  vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1);
  vec2 edge = box.xy + corner * box.zw;
  pixel = edge - 0.5; // pixel centres are integers
  vec2 at = edge - origin;
  gl_Position = vec4(2.0 * at.x / size.x - 1.0, 1.0 - 2.0 * at.y / size.y, 0.0, 1.0);
}
