// One convolution by oneDNN 2.6, the last release with Winograd kernels for x86, behind five C functions. Tensors are in
// the layouts that oneDNN asks for; reorders of input, weights and output happen outside of what is timed.
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <memory>
#include <oneapi/dnnl/dnnl.hpp>
#include <unordered_map>
#include <vector>

using dnnl::memory;
using Type = memory::data_type;
using Tag = memory::format_tag;

namespace {

struct Layer {
    dnnl::engine engine{dnnl::engine::kind::cpu, 0};
    dnnl::stream stream{engine};
    dnnl::primitive primitive;
    std::unordered_map<int, memory> arguments;
    memory::dims output_shape;
};

// Brings numbers into a layout, multiplied by `scales` along dimension 0 if there are any.
memory ordered(Layer& layer, memory from, const memory::desc& layout, const std::vector<float>& scales = {}) {
    memory to(layout, layer.engine);
    dnnl::primitive_attr attributes;
    if (!scales.empty()) attributes.set_output_scales(1, scales);
    dnnl::reorder(dnnl::reorder::primitive_desc(from, to, attributes)).execute(layer.stream, from, to);
    layer.stream.wait();
    return to;
}

memory wrap(Layer& layer, const memory::dims& shape, Type type, Tag tag, const void* data) {
    return {{shape, type, tag}, layer.engine, const_cast<void*>(data)};
}

}  // namespace

extern "C" {

struct Problem {
    int32_t batch, inputs, outputs, size, kernel;  // stride 1, output as large as the input
    int32_t int8, winograd;
    float input_step, output_step;  // int8 only
    const void* input;              // (N, C, H, W), uint8 or float
    const void* weight;             // (K, C, r, r), int8 or float
    const float* float_weight;      // what Winograd quantizes by itself
    const float* weight_steps;      // (K)
    const float* bias;              // (K)
};

// Null on failure; `text` says why, or which kernel serves.
void* layer_create(const Problem* p, char* text, int length) try {
    auto layer = std::make_unique<Layer>();
    const memory::dims x{p->batch, p->inputs, p->size, p->size}, w{p->outputs, p->inputs, p->kernel, p->kernel};
    const memory::dims k{p->outputs}, y{p->batch, p->outputs, p->size, p->size}, one{1, 1};
    const memory::dims pad{p->kernel / 2, p->kernel / 2};
    const Type in = p->int8 ? Type::u8 : Type::f32, weight = p->int8 ? Type::s8 : Type::f32;

    std::vector<float> bias(p->bias, p->bias + p->outputs), scales(p->outputs), inverse(p->outputs);
    dnnl::primitive_attr attributes;
    dnnl::post_ops relu;
    relu.append_eltwise(1.f, dnnl::algorithm::eltwise_relu, 0.f, 0.f);
    attributes.set_post_ops(relu);
    if (p->int8) {
        for (int i = 0; i < p->outputs; i++) {
            const float sum_step = p->input_step * p->weight_steps[i];
            scales[i] = sum_step / p->output_step;
            bias[i] /= sum_step;
            inverse[i] = 1 / p->weight_steps[i];
        }
        attributes.set_output_scales(1 << 1, scales);
    }
    const auto algorithm =
        p->winograd ? dnnl::algorithm::convolution_winograd : dnnl::algorithm::convolution_direct;
    const dnnl::convolution_forward::desc wanted(dnnl::prop_kind::forward_inference, algorithm, {x, in, Tag::any},
                                                 {w, weight, Tag::any}, {k, Type::f32, Tag::a},
                                                 {y, in, Tag::any}, one, pad, pad);
    const dnnl::convolution_forward::primitive_desc found(wanted, attributes, layer->engine);

    const memory source = ordered(*layer, wrap(*layer, x, in, Tag::nchw, p->input), found.src_desc());
    const bool own = found.weights_desc().data.format_kind == dnnl_format_kind_wino;
    const memory weights =
        own && p->int8
            ? ordered(*layer, wrap(*layer, w, Type::f32, Tag::oihw, p->float_weight), found.weights_desc(), inverse)
            : ordered(*layer, wrap(*layer, w, weight, Tag::oihw, p->weight), found.weights_desc());
    const memory biases = ordered(*layer, wrap(*layer, k, Type::f32, Tag::a, bias.data()), {k, Type::f32, Tag::a});
    const memory target(found.dst_desc(), layer->engine);
    layer->output_shape = y;
    layer->primitive = dnnl::convolution_forward(found);
    layer->arguments = {{DNNL_ARG_SRC, source},
                        {DNNL_ARG_WEIGHTS, weights},
                        {DNNL_ARG_BIAS, biases},
                        {DNNL_ARG_DST, target}};
    snprintf(text, length, "%s", found.impl_info_str());
    return layer.release();
} catch (const std::exception& error) {
    snprintf(text, length, "%s", error.what());
    return nullptr;
}

void layer_run(void* handle) {
    auto* layer = static_cast<Layer*>(handle);
    layer->primitive.execute(layer->stream, layer->arguments);
    layer->stream.wait();
}

// Steps as floats, (N, K, H, W).
void layer_output(void* handle, float* y) {
    auto* layer = static_cast<Layer*>(handle);
    const memory plain =
        ordered(*layer, layer->arguments.at(DNNL_ARG_DST), {layer->output_shape, Type::f32, Tag::nchw});
    memcpy(y, plain.get_data_handle(), plain.get_desc().get_size());
}

void layer_free(void* handle) { delete static_cast<Layer*>(handle); }

void library_version(char* text, int length) {
    const dnnl_version_t* v = dnnl_version();
    snprintf(text, length, "%d.%d.%d", v->major, v->minor, v->patch);
}

}  // extern "C"
