/* Runs a compiled network on one image of bytes: classify NET.tilewise HEIGHT WIDTH < image.rgb
 *
 *   cc classify.c $(pkg-config --cflags --libs tilewise) -o classify
 */
#include <stdio.h>
#include <stdlib.h>

#include "tilewise.h"

int main(int argc, char** argv) {
  tilewise_engine* engine = NULL;
  tilewise_error error;
  tilewise_port port;
  if (argc != 4) return fprintf(stderr, "usage: classify NET.tilewise HEIGHT WIDTH < image\n"), 2;
  if (tilewise_load(argv[1], NULL, &engine, &error) != TILEWISE_OK) goto failed;
  if (tilewise_input(engine, 0, &port, &error) != TILEWISE_OK) goto failed;

  tilewise_shape in = {1, port.channels, atoll(argv[2]), atoll(argv[3])}, out;
  if (tilewise_prepare(engine, &in, 1, &out, 1, &error) != TILEWISE_OK) goto failed;
  size_t pixels = (size_t)(in.channels * in.height * in.width);
  size_t values = (size_t)(out.channels * out.height * out.width);
  unsigned char* image = malloc(pixels);
  float* scores = malloc(values * sizeof(float));
  if (image == NULL || scores == NULL || fread(image, 1, pixels, stdin) != pixels)
    return fprintf(stderr, "the image must have %zu bytes\n", pixels), 2;

  /* Pixel by pixel, as image files have it: the engine reads bytes and this layout without a copy. */
  tilewise_array images = {NULL, image, pixels, TILEWISE_UINT8, TILEWISE_NHWC, in};
  tilewise_array results = {NULL, scores, values * sizeof(float), TILEWISE_FLOAT32, TILEWISE_NCHW, out};
  if (tilewise_run(engine, &images, 1, &results, 1, &error) != TILEWISE_OK) goto failed;
  size_t best = 0;
  for (size_t i = 1; i < values; ++i) best = scores[i] > scores[best] ? i : best;
  printf("%zu %.6g\n", best, scores[best]);
  free(image), free(scores), tilewise_free(engine);
  return 0;

failed:
  fprintf(stderr, "%s\n", error.message);
  tilewise_free(engine);
  return 1;
}
