/* Runs a compiled network: tilewise-run NET.tilewise IMAGES HEIGHTxWIDTH... < images > results
 *
 * There is a size for each input. Images and results are float32, one input or output after another, as NCHW or as what
 * flat results are. So other builds and machines are held to certificates (tests/engine/golden.py elsewhere).
 */
#include <stdio.h>
#include <stdlib.h>

#include "c_api/tilewise.h"

#define MOST 16

static size_t values(tilewise_shape s) { return (size_t)(s.images * s.channels * s.height * s.width); }

int main(int argc, char** argv) {
  tilewise_engine* engine = NULL;
  tilewise_error error;
  tilewise_shape in[MOST], out[MOST];
  tilewise_array images[MOST] = {0}, results[MOST] = {0};
  if (argc < 4) return fprintf(stderr, "usage: tilewise-run NET.tilewise IMAGES HEIGHTxWIDTH... < images > results\n"), 2;
  if (tilewise_load(argv[1], NULL, &engine, &error) != TILEWISE_OK) goto failed;
  size_t inputs = tilewise_input_count(engine), outputs = tilewise_output_count(engine);
  if (inputs != (size_t)argc - 3 || inputs > MOST || outputs > MOST)
    return fprintf(stderr, "it has %zu inputs and %zu outputs\n", inputs, outputs), 2;

  for (size_t i = 0; i < inputs; ++i) {
    tilewise_port port;
    long height, width;
    if (tilewise_input(engine, i, &port, &error) != TILEWISE_OK) goto failed;
    if (sscanf(argv[3 + i], "%ldx%ld", &height, &width) != 2) return fprintf(stderr, "no size: %s\n", argv[3 + i]), 2;
    in[i] = (tilewise_shape){atol(argv[2]), port.channels, height, width};
  }
  if (tilewise_prepare(engine, in, inputs, out, outputs, &error) != TILEWISE_OK) goto failed;
  for (size_t i = 0; i < inputs; ++i) {
    size_t bytes = values(in[i]) * sizeof(float);
    images[i] = (tilewise_array){NULL, malloc(bytes), bytes, TILEWISE_FLOAT32, TILEWISE_NCHW, in[i]};
    if (!images[i].data || fread(images[i].data, 1, bytes, stdin) != bytes)
      return fprintf(stderr, "input %zu must have %zu bytes\n", i, bytes), 2;
  }
  for (size_t i = 0; i < outputs; ++i) {
    tilewise_port port;
    size_t bytes = values(out[i]) * sizeof(float);
    if (tilewise_output(engine, i, &port, &error) != TILEWISE_OK) goto failed;
    tilewise_layout layout = port.channels_last ? TILEWISE_NHWC : TILEWISE_NCHW;
    results[i] = (tilewise_array){NULL, malloc(bytes), bytes, TILEWISE_FLOAT32, layout, out[i]};
    if (!results[i].data) return fprintf(stderr, "no memory for %zu bytes\n", bytes), 2;
  }
  if (tilewise_run(engine, images, inputs, results, outputs, &error) != TILEWISE_OK) goto failed;
  for (size_t i = 0; i < outputs; ++i) fwrite(results[i].data, 1, results[i].bytes, stdout);
  for (size_t i = 0; i < inputs; ++i) free(images[i].data);
  for (size_t i = 0; i < outputs; ++i) free(results[i].data);
  tilewise_free(engine);
  return 0;

failed:
  fprintf(stderr, "%s\n", error.message);
  tilewise_free(engine);
  return 1;
}
