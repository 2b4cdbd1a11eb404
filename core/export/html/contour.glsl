// Signed distance of a pixel from a closed contour, positive inside.
uniform vec2 contour[CORNERS];
float inside(vec2 p) {
  float nearest = 1e9;
  bool within = false;
  vec2 a = contour[CORNERS - 1];
  for (int i = 0; i < CORNERS; i++) {
    vec2 b = contour[i], edge = b - a, from = p - a;
    float at = clamp(dot(from, edge) / max(dot(edge, edge), 1e-9), 0.0, 1.0);
    vec2 away = from - at * edge;
    nearest = min(nearest, dot(away, away));
    if ((a.y > p.y) != (b.y > p.y) && p.x < a.x + (p.y - a.y) * edge.x / edge.y) within = !within;
    a = b;
  }
  return within ? sqrt(nearest) : -sqrt(nearest);
}
