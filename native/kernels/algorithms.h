// Written by native/kernels/generate_algorithms.py; a test compares. The named algorithms as straight-line programs
// (tilewise/algebra/program.py): get(i) gives input i, put(i, v) takes output i.
#pragma once

#include <type_traits>

namespace tilewise::TILEWISE_SET {

// clang-format off
struct F2x3 {
  static constexpr int m = 2, n = 4, t = 4;
  static constexpr bool kShort = true;  // V of bytes fits 16 bits
  static constexpr short bt[] = {-1, 0, 1, 0, 0, 1, 1, 0, 0, -1, 1, 0, 0, -1, 0, 1};
  static constexpr short at[] = {1, 1, 1, 0, 0, 1, -1, 1};
  template <typename V, typename Get, typename Put>
  [[gnu::always_inline]] static void input(const Get& get, const Put& put) {
    const V v0 = get(0), v1 = get(1), v2 = get(2), v3 = get(3);
    put(0, v2 - v0);
    put(1, v1 + v2);
    put(2, v2 - v1);
    put(3, v3 - v1);
  }
  template <typename V, typename Get, typename Put>
  [[gnu::always_inline]] static void output(const Get& get, const Put& put) {
    const V v0 = get(0), v1 = get(1), v2 = get(2), v3 = get(3);
    put(0, v0 + v1 + v2);
    put(1, v1 + v3 - v2);
  }
};
struct F4x3 {
  static constexpr int m = 4, n = 6, t = 6;
  static constexpr bool kShort = true;  // V of bytes fits 16 bits
  static constexpr short bt[] = {2, -3, -4, 3, 2, 0, 0, -2, 1, 5, 2, 0, 0, 2, -5, 1, 2, 0, 0, -2, -1, 2, 1, 0, 0, 1, -2, -1, 2, 0, 0, 2, -3, -4, 3, 2};
  static constexpr short at[] = {1, 1, 1, 8, 1, 0, 0, 1, -1, 4, -2, 0, 0, 1, 1, 2, 4, 0, 0, 1, -1, 1, -8, 1};
  template <typename V, typename Get, typename Put>
  [[gnu::always_inline]] static void input(const Get& get, const Put& put) {
    const V v0 = get(0), v1 = get(1), v2 = get(2), v3 = get(3), v4 = get(4), v5 = get(5);
    const V v6 = v1 - v3;
    const V v7 = v2 - v4;
    const V v8 = v0 + v4;
    put(0, plus<-4>(plus<-3>(scaled<2>(v8), v6), v2));
    const V v10 = v4 - v1;
    put(1, plus<5>(plus<2>(v2, v10), v3));
    const V v12 = v1 + v4;
    put(2, plus<-5>(plus<2>(v3, v12), v2));
    put(3, plus<-2>(-v7, v6));
    put(4, plus<-2>(v6, v7));
    const V v16 = v1 + v5;
    put(5, plus<-4>(plus<-3>(scaled<2>(v16), v7), v3));
  }
  template <typename V, typename Get, typename Put>
  [[gnu::always_inline]] static void output(const Get& get, const Put& put) {
    const V v0 = get(0), v1 = get(1), v2 = get(2), v3 = get(3), v4 = get(4), v5 = get(5);
    const V v6 = v1 - v2;
    const V v7 = v1 + v2;
    put(0, plus<8>(v0 + v4 + v7, v3));
    put(1, plus<-2>(plus<4>(v6, v3), v4));
    put(2, plus<4>(plus<2>(v7, v3), v4));
    put(3, plus<-8>(v3 + v5 + v6, v4));
  }
};
struct F6x3 {
  static constexpr int m = 6, n = 8, t = 8;
  static constexpr bool kShort = false;  // V of bytes fits 16 bits
  static constexpr short bt[] = {-4, 0, 21, 0, -21, 0, 4, 0, 0, 4, 4, -17, -17, 4, 4, 0, 0, -4, 4, 17, -17, -4, 4, 0, 0, 2, 1, -10, -5, 8, 4, 0, 0, -2, 1, 10, -5, -8, 4, 0, 0, 4, 8, -5, -10, 1, 2, 0, 0, -4, 8, 5, -10, -1, 2, 0, 0, -4, 0, 21, 0, -21, 0, 4};
  static constexpr short at[] = {1, 1, 1, 1, 1, 32, 32, 0, 0, 1, -1, 2, -2, 16, -16, 0, 0, 1, 1, 4, 4, 8, 8, 0, 0, 1, -1, 8, -8, 4, -4, 0, 0, 1, 1, 16, 16, 2, 2, 0, 0, 1, -1, 32, -32, 1, -1, 1};
  template <typename V, typename Get, typename Put>
  [[gnu::always_inline]] static void input(const Get& get, const Put& put) {
    const V v0 = get(0), v1 = get(1), v2 = get(2), v3 = get(3), v4 = get(4), v5 = get(5), v6 = get(6), v7 = get(7);
    const V v8 = v1 + v5;
    const V v9 = v2 + v6;
    const V v10 = plus<-5>(v1, v3);
    const V v11 = scaled<4>(v1) + v5;
    const V v12 = plus<-5>(v2, v4);
    const V v13 = scaled<4>(v2) + v6;
    const V v14 = scaled<5>(v3) - v11;
    const V v15 = scaled<5>(v4) - v13;
    const V v16 = scaled<4>(v5) + v10;
    const V v17 = scaled<4>(v6) + v12;
    const V v18 = plus<-4>(scaled<17>(v3), v8);
    const V v19 = plus<-4>(scaled<17>(v4), v9);
    const V v20 = v6 - v0;
    const V v21 = v2 - v4;
    put(0, plus<21>(scaled<4>(v20), v21));
    put(1, -v18 - v19);
    put(2, v18 - v19);
    put(3, plus<2>(v17, v16));
    put(4, plus<-2>(v17, v16));
    put(5, plus<-2>(-v14, v15));
    put(6, plus<-2>(v14, v15));
    const V v29 = v7 - v1;
    const V v30 = v3 - v5;
    put(7, plus<21>(scaled<4>(v29), v30));
  }
  template <typename V, typename Get, typename Put>
  [[gnu::always_inline]] static void output(const Get& get, const Put& put) {
    const V v0 = get(0), v1 = get(1), v2 = get(2), v3 = get(3), v4 = get(4), v5 = get(5), v6 = get(6), v7 = get(7);
    const V v8 = v1 - v2;
    const V v9 = v1 + v2;
    const V v10 = v3 - v4;
    const V v11 = v3 + v4;
    const V v12 = v5 - v6;
    const V v13 = v5 + v6;
    put(0, plus<32>(v0 + v9 + v11, v13));
    put(1, plus<16>(plus<2>(v8, v10), v12));
    put(2, plus<8>(plus<4>(v9, v11), v13));
    put(3, plus<8>(plus<4>(v8, v12), v10));
    put(4, plus<16>(plus<2>(v9, v13), v11));
    put(5, plus<32>(v7 + v8 + v12, v10));
  }
};
struct SFC6x3 {
  static constexpr int m = 7, n = 12, t = 9;
  static constexpr bool kShort = true;  // V of bytes fits 16 bits
  static constexpr short bt[] = {0, 1, 1, 1, 1, 1, 1, 0, 0, 0, 1, 0, -1, -1, 0, 1, 0, 0, 0, 0, 1, 1, 0, -1, -1, 0, 0, 0, 1, 1, 0, -1, -1, 0, 0, 0, 0, 1, 0, -1, 1, 0, -1, 0, 0, 0, 0, 1, -1, 0, 1, -1, 0, 0, 0, 1, -1, 0, 1, -1, 0, 0, 0, 0, 1, -1, 1, -1, 1, -1, 0, 0, 1, 0, 0, 0, 0, 0, -1, 0, 0, 0, -1, 0, 0, 0, 0, 0, 1, 0, 0, -1, 0, 0, 0, 0, 0, 1, 0, 0, 0, -1, 0, 0, 0, 0, 0, 1};
  static constexpr short at[] = {1, 2, -1, -1, -2, 1, 1, -1, 1, 0, 0, 0, 1, 1, -2, 1, 1, -2, 1, 1, 0, 0, 0, 0, 1, -1, -1, 2, 1, 1, -2, -1, 0, 0, 0, 0, 1, -2, 1, 1, -2, 1, 1, 1, 0, 0, 0, 0, 1, -1, 2, -1, 1, -2, 1, -1, 0, 0, 0, 0, 1, 1, 1, -2, 1, 1, -2, 1, 0, 1, 0, 0, 1, 2, -1, -1, -2, 1, 1, -1, 0, 0, 1, 1};
  template <typename V, typename Get, typename Put>
  [[gnu::always_inline]] static void input(const Get& get, const Put& put) {
    const V v0 = get(0), v1 = get(1), v2 = get(2), v3 = get(3), v4 = get(4), v5 = get(5), v6 = get(6), v7 = get(7), v8 = get(8);
    const V v9 = v1 - v4;
    const V v10 = v1 + v4;
    const V v11 = v2 - v5;
    const V v12 = v2 + v5;
    const V v13 = v3 - v6;
    const V v14 = v3 + v6;
    const V v15 = v1 - v7;
    put(0, v10 + v12 + v14);
    put(1, v9 - v13);
    put(2, v11 + v13);
    put(3, v9 + v11);
    put(4, v10 - v14);
    put(5, v12 - v14);
    put(6, v10 - v12);
    put(7, v9 + v13 - v11);
    put(8, v0 - v6);
    put(9, -v15);
    put(10, -v15);
    put(11, v8 - v2);
  }
  template <typename V, typename Get, typename Put>
  [[gnu::always_inline]] static void output(const Get& get, const Put& put) {
    const V v0 = get(0), v1 = get(1), v2 = get(2), v3 = get(3), v4 = get(4), v5 = get(5), v6 = get(6), v7 = get(7), v8 = get(8), v9 = get(9), v10 = get(10), v11 = get(11);
    const V v12 = v0 + v5;
    const V v13 = v2 + v7;
    const V v14 = v1 - v4;
    const V v15 = v3 - v6;
    const V v16 = v1 + v4;
    const V v17 = v3 + v6;
    const V v18 = v12 - v13;
    const V v19 = v12 + v13;
    const V v20 = v15 - v18;
    const V v21 = plus<-2>(v0, v5);
    const V v22 = scaled<2>(v2) - v7;
    const V v23 = scaled<2>(v14) - v20;
    put(0, v8 + v23);
    put(1, v16 + v17 + v21 - v22);
    put(2, plus<2>(v18, v15) - v14);
    put(3, plus<-2>(v17 + v19, v16));
    put(4, v21 + v22 - v14 - v15);
    put(5, plus<-2>(v9 + v16 + v19, v17));
    put(6, v10 + v11 + v23);
  }
};
struct F2x5 {
  static constexpr int m = 2, n = 6, t = 6;
  static constexpr bool kShort = true;  // V of bytes fits 16 bits
  static constexpr short bt[] = {2, -3, -4, 3, 2, 0, 0, -2, 1, 5, 2, 0, 0, 2, -5, 1, 2, 0, 0, -2, -1, 2, 1, 0, 0, 1, -2, -1, 2, 0, 0, 2, -3, -4, 3, 2};
  static constexpr short at[] = {1, 1, 1, 2, 1, 0, 0, 1, -1, 1, -2, 1};
  template <typename V, typename Get, typename Put>
  [[gnu::always_inline]] static void input(const Get& get, const Put& put) {
    const V v0 = get(0), v1 = get(1), v2 = get(2), v3 = get(3), v4 = get(4), v5 = get(5);
    const V v6 = v1 - v3;
    const V v7 = v2 - v4;
    const V v8 = v0 + v4;
    put(0, plus<-4>(plus<-3>(scaled<2>(v8), v6), v2));
    const V v10 = v4 - v1;
    put(1, plus<5>(plus<2>(v2, v10), v3));
    const V v12 = v1 + v4;
    put(2, plus<-5>(plus<2>(v3, v12), v2));
    put(3, plus<-2>(-v7, v6));
    put(4, plus<-2>(v6, v7));
    const V v16 = v1 + v5;
    put(5, plus<-4>(plus<-3>(scaled<2>(v16), v7), v3));
  }
  template <typename V, typename Get, typename Put>
  [[gnu::always_inline]] static void output(const Get& get, const Put& put) {
    const V v0 = get(0), v1 = get(1), v2 = get(2), v3 = get(3), v4 = get(4), v5 = get(5);
    put(0, plus<2>(v0 + v1 + v2 + v4, v3));
    put(1, plus<-2>(v1 + v3 + v5 - v2, v4));
  }
};
struct F4x5 {
  static constexpr int m = 4, n = 8, t = 8;
  static constexpr bool kShort = false;  // V of bytes fits 16 bits
  static constexpr short bt[] = {-4, 0, 21, 0, -21, 0, 4, 0, 0, 4, 4, -17, -17, 4, 4, 0, 0, -4, 4, 17, -17, -4, 4, 0, 0, 2, 1, -10, -5, 8, 4, 0, 0, -2, 1, 10, -5, -8, 4, 0, 0, 4, 8, -5, -10, 1, 2, 0, 0, -4, 8, 5, -10, -1, 2, 0, 0, -4, 0, 21, 0, -21, 0, 4};
  static constexpr short at[] = {1, 1, 1, 1, 1, 8, 8, 0, 0, 1, -1, 2, -2, 4, -4, 0, 0, 1, 1, 4, 4, 2, 2, 0, 0, 1, -1, 8, -8, 1, -1, 1};
  template <typename V, typename Get, typename Put>
  [[gnu::always_inline]] static void input(const Get& get, const Put& put) {
    const V v0 = get(0), v1 = get(1), v2 = get(2), v3 = get(3), v4 = get(4), v5 = get(5), v6 = get(6), v7 = get(7);
    const V v8 = v1 + v5;
    const V v9 = v2 + v6;
    const V v10 = plus<-5>(v1, v3);
    const V v11 = scaled<4>(v1) + v5;
    const V v12 = plus<-5>(v2, v4);
    const V v13 = scaled<4>(v2) + v6;
    const V v14 = scaled<5>(v3) - v11;
    const V v15 = scaled<5>(v4) - v13;
    const V v16 = scaled<4>(v5) + v10;
    const V v17 = scaled<4>(v6) + v12;
    const V v18 = plus<-4>(scaled<17>(v3), v8);
    const V v19 = plus<-4>(scaled<17>(v4), v9);
    const V v20 = v6 - v0;
    const V v21 = v2 - v4;
    put(0, plus<21>(scaled<4>(v20), v21));
    put(1, -v18 - v19);
    put(2, v18 - v19);
    put(3, plus<2>(v17, v16));
    put(4, plus<-2>(v17, v16));
    put(5, plus<-2>(-v14, v15));
    put(6, plus<-2>(v14, v15));
    const V v29 = v7 - v1;
    const V v30 = v3 - v5;
    put(7, plus<21>(scaled<4>(v29), v30));
  }
  template <typename V, typename Get, typename Put>
  [[gnu::always_inline]] static void output(const Get& get, const Put& put) {
    const V v0 = get(0), v1 = get(1), v2 = get(2), v3 = get(3), v4 = get(4), v5 = get(5), v6 = get(6), v7 = get(7);
    const V v8 = v1 - v2;
    const V v9 = v1 + v2;
    const V v10 = v3 - v4;
    const V v11 = v3 + v4;
    const V v12 = v5 - v6;
    const V v13 = v5 + v6;
    put(0, plus<8>(v0 + v9 + v11, v13));
    put(1, plus<4>(plus<2>(v8, v10), v12));
    put(2, plus<4>(plus<2>(v9, v13), v11));
    put(3, plus<8>(v7 + v8 + v12, v10));
  }
};
struct SFC6x5 {
  static constexpr int m = 6, n = 14, t = 10;
  static constexpr bool kShort = true;  // V of bytes fits 16 bits
  static constexpr short bt[] = {0, 0, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 1, 0, -1, -1, 0, 1, 0, 0, 0, 0, 0, 1, 1, 0, -1, -1, 0, 0, 0, 0, 1, 1, 0, -1, -1, 0, 0, 0, 0, 0, 1, 0, -1, 1, 0, -1, 0, 0, 0, 0, 0, 1, -1, 0, 1, -1, 0, 0, 0, 0, 1, -1, 0, 1, -1, 0, 0, 0, 0, 0, 1, -1, 1, -1, 1, -1, 0, 0, 1, 0, 0, 0, 0, 0, -1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, -1, 0, 0, 0, 1, 0, 0, 0, 0, 0, -1, 0, 0, 0, 0, -1, 0, 0, 0, 0, 0, 1, 0, 0, 0, -1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, -1, 0, 0, 0, 0, 0, 1};
  static constexpr short at[] = {1, 1, 1, -2, 1, 1, -2, 1, 1, 1, 0, 0, 0, 0, 1, 2, -1, -1, -2, 1, 1, -1, 0, 0, 1, 0, 0, 0, 1, 1, -2, 1, 1, -2, 1, 1, 0, 0, 0, 0, 0, 0, 1, -1, -1, 2, 1, 1, -2, -1, 0, 0, 0, 0, 0, 0, 1, -2, 1, 1, -2, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1, -1, 2, -1, 1, -2, 1, -1, 0, 0, 0, 0, 1, 1};
  template <typename V, typename Get, typename Put>
  [[gnu::always_inline]] static void input(const Get& get, const Put& put) {
    const V v0 = get(0), v1 = get(1), v2 = get(2), v3 = get(3), v4 = get(4), v5 = get(5), v6 = get(6), v7 = get(7), v8 = get(8), v9 = get(9);
    const V v10 = v2 - v5;
    const V v11 = v2 + v5;
    const V v12 = v3 - v6;
    const V v13 = v3 + v6;
    const V v14 = v4 - v7;
    const V v15 = v4 + v7;
    const V v16 = v1 - v7;
    const V v17 = v2 - v8;
    put(0, v11 + v13 + v15);
    put(1, v10 - v14);
    put(2, v12 + v14);
    put(3, v10 + v12);
    put(4, v11 - v15);
    put(5, v13 - v15);
    put(6, v11 - v13);
    put(7, v10 + v14 - v12);
    put(8, v0 - v6);
    put(9, v16);
    put(10, v16);
    put(11, -v17);
    put(12, -v17);
    put(13, v9 - v3);
  }
  template <typename V, typename Get, typename Put>
  [[gnu::always_inline]] static void output(const Get& get, const Put& put) {
    const V v0 = get(0), v1 = get(1), v2 = get(2), v3 = get(3), v4 = get(4), v5 = get(5), v6 = get(6), v7 = get(7), v8 = get(8), v9 = get(9), v10 = get(10), v11 = get(11), v12 = get(12), v13 = get(13);
    const V v14 = v0 + v4;
    const V v15 = v1 + v7;
    const V v16 = v2 - v5;
    const V v17 = v2 + v5;
    const V v18 = v3 - v6;
    const V v19 = v3 + v6;
    const V v20 = v14 - v15;
    const V v21 = v14 + v15;
    const V v22 = plus<-2>(v0, v4);
    const V v23 = scaled<2>(v1) - v7;
    put(0, plus<-2>(v8 + v9 + v17 + v21, v19));
    put(1, v10 + v22 + v23 - v16 - v18);
    put(2, plus<-2>(v19 + v21, v17));
    put(3, plus<2>(v20, v18) - v16);
    put(4, v11 + v17 + v19 + v22 - v23);
    put(5, plus<2>(v12 + v13 + v20, v16) - v18);
  }
};
struct SFC6_7x5 {
  static constexpr int m = 7, n = 17, t = 11;
  static constexpr bool kShort = true;  // V of bytes fits 16 bits
  static constexpr short bt[] = {0, 0, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 1, 0, -1, -1, 0, 1, 0, 0, 0, 0, 0, 0, 1, 1, 0, -1, -1, 0, 0, 0, 0, 0, 1, 1, 0, -1, -1, 0, 0, 0, 0, 0, 0, 1, 0, -1, 1, 0, -1, 0, 0, 0, 0, 0, 0, 1, -1, 0, 1, -1, 0, 0, 0, 0, 0, 1, -1, 0, 1, -1, 0, 0, 0, 0, 0, 0, 1, -1, 1, -1, 1, -1, 0, 0, 0, 1, 0, 0, 0, 0, 0, -1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, -1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, -1, 0, 0, 0, 0, 0, -1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, -1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, -1, 0, 0, 0, 0, 0, 1, 0, 0, 0, -1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, -1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, -1, 0, 0, 0, 0, 0, 1};
  static constexpr short at[] = {1, 1, 1, -2, 1, 1, -2, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 2, -1, -1, -2, 1, 1, -1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 1, -2, 1, 1, -2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, -1, -1, 2, 1, 1, -2, -1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, -2, 1, 1, -2, 1, 1, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, -1, 2, -1, 1, -2, 1, -1, 0, 0, 0, 0, 1, 1, 0, 0, 0, 1, 1, 1, -2, 1, 1, -2, 1, 0, 0, 0, 0, 0, 0, 1, 1, 1};
  template <typename V, typename Get, typename Put>
  [[gnu::always_inline]] static void input(const Get& get, const Put& put) {
    const V v0 = get(0), v1 = get(1), v2 = get(2), v3 = get(3), v4 = get(4), v5 = get(5), v6 = get(6), v7 = get(7), v8 = get(8), v9 = get(9), v10 = get(10);
    const V v11 = v2 - v5;
    const V v12 = v2 + v5;
    const V v13 = v2 - v8;
    const V v14 = v3 - v6;
    const V v15 = v3 + v6;
    const V v16 = v4 - v7;
    const V v17 = v4 + v7;
    const V v18 = v1 - v7;
    const V v19 = v3 - v9;
    put(0, v12 + v15 + v17);
    put(1, v11 - v16);
    put(2, v14 + v16);
    put(3, v11 + v14);
    put(4, v12 - v17);
    put(5, v15 - v17);
    put(6, v12 - v15);
    put(7, v11 + v16 - v14);
    put(8, v0 - v6);
    put(9, v18);
    put(10, v18);
    put(11, -v13);
    put(12, -v13);
    put(13, -v19);
    put(14, -v13);
    put(15, -v19);
    put(16, v10 - v4);
  }
  template <typename V, typename Get, typename Put>
  [[gnu::always_inline]] static void output(const Get& get, const Put& put) {
    const V v0 = get(0), v1 = get(1), v2 = get(2), v3 = get(3), v4 = get(4), v5 = get(5), v6 = get(6), v7 = get(7), v8 = get(8), v9 = get(9), v10 = get(10), v11 = get(11), v12 = get(12), v13 = get(13), v14 = get(14), v15 = get(15), v16 = get(16);
    const V v17 = v0 + v4;
    const V v18 = v1 + v7;
    const V v19 = v2 + v5;
    const V v20 = v3 + v6;
    const V v21 = v2 - v5;
    const V v22 = v3 - v6;
    const V v23 = v17 + v18;
    const V v24 = v17 - v18;
    const V v25 = v19 + v23;
    const V v26 = plus<-2>(v0, v4);
    const V v27 = scaled<2>(v1) - v7;
    const V v28 = scaled<2>(v20) - v25;
    put(0, v8 + v9 - v28);
    put(1, v10 + v26 + v27 - v21 - v22);
    put(2, plus<-2>(v20 + v23, v19));
    put(3, plus<2>(v24, v22) - v21);
    put(4, v11 + v19 + v20 + v26 - v27);
    put(5, plus<2>(v12 + v13 + v24, v21) - v22);
    put(6, v14 + v15 + v16 - v28);
  }
};
struct SFC6_5x5 {
  static constexpr int m = 5, n = 12, t = 9;
  static constexpr bool kShort = true;  // V of bytes fits 16 bits
  static constexpr short bt[] = {0, 1, 1, 1, 1, 1, 1, 0, 0, 0, 1, 0, -1, -1, 0, 1, 0, 0, 0, 0, 1, 1, 0, -1, -1, 0, 0, 0, 1, 1, 0, -1, -1, 0, 0, 0, 0, 1, 0, -1, 1, 0, -1, 0, 0, 0, 0, 1, -1, 0, 1, -1, 0, 0, 0, 1, -1, 0, 1, -1, 0, 0, 0, 0, 1, -1, 1, -1, 1, -1, 0, 0, 1, 0, 0, 0, 0, 0, -1, 0, 0, 0, -1, 0, 0, 0, 0, 0, 1, 0, 0, -1, 0, 0, 0, 0, 0, 1, 0, 0, 0, -1, 0, 0, 0, 0, 0, 1};
  static constexpr short at[] = {1, 2, -1, -1, -2, 1, 1, -1, 1, 0, 0, 0, 1, 1, -2, 1, 1, -2, 1, 1, 0, 0, 0, 0, 1, -1, -1, 2, 1, 1, -2, -1, 0, 0, 0, 0, 1, -2, 1, 1, -2, 1, 1, 1, 0, 1, 0, 0, 1, -1, 2, -1, 1, -2, 1, -1, 0, 0, 1, 1};
  template <typename V, typename Get, typename Put>
  [[gnu::always_inline]] static void input(const Get& get, const Put& put) {
    const V v0 = get(0), v1 = get(1), v2 = get(2), v3 = get(3), v4 = get(4), v5 = get(5), v6 = get(6), v7 = get(7), v8 = get(8);
    const V v9 = v1 - v4;
    const V v10 = v1 + v4;
    const V v11 = v2 - v5;
    const V v12 = v2 + v5;
    const V v13 = v3 - v6;
    const V v14 = v3 + v6;
    const V v15 = v1 - v7;
    put(0, v10 + v12 + v14);
    put(1, v9 - v13);
    put(2, v11 + v13);
    put(3, v9 + v11);
    put(4, v10 - v14);
    put(5, v12 - v14);
    put(6, v10 - v12);
    put(7, v9 + v13 - v11);
    put(8, v0 - v6);
    put(9, -v15);
    put(10, -v15);
    put(11, v8 - v2);
  }
  template <typename V, typename Get, typename Put>
  [[gnu::always_inline]] static void output(const Get& get, const Put& put) {
    const V v0 = get(0), v1 = get(1), v2 = get(2), v3 = get(3), v4 = get(4), v5 = get(5), v6 = get(6), v7 = get(7), v8 = get(8), v9 = get(9), v10 = get(10), v11 = get(11);
    const V v12 = v0 + v6;
    const V v13 = v3 + v7;
    const V v14 = v1 - v4;
    const V v15 = v2 - v5;
    const V v16 = v1 + v4;
    const V v17 = v2 + v5;
    const V v18 = v12 - v13;
    const V v19 = v12 + v13;
    put(0, plus<2>(v8 + v18, v14) - v15);
    put(1, plus<-2>(v16 + v19, v17));
    const V v22 = v3 - v6;
    put(2, plus<2>(v0, v22) - v7 - v14 - v15);
    put(3, plus<-2>(v9 + v17 + v19, v16));
    put(4, plus<2>(v10 + v11 + v18, v15) - v14);
  }
};
struct F2x3s2 {
  static constexpr int m = 2, n = 5, t = 5;
  static constexpr bool kShort = true;  // V of bytes fits 16 bits
  static constexpr short bt[] = {-1, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, -1, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0};
  static constexpr short at[] = {1, 1, 0, 1, 0, 0, 1, 1, 0, 1};
  template <typename V, typename Get, typename Put>
  [[gnu::always_inline]] static void input(const Get& get, const Put& put) {
    const V v0 = get(0), v1 = get(1), v2 = get(2), v3 = get(3), v4 = get(4);
    put(0, v2 - v0);
    put(1, v2);
    put(2, v4 - v2);
    put(3, v1);
    put(4, v3);
  }
  template <typename V, typename Get, typename Put>
  [[gnu::always_inline]] static void output(const Get& get, const Put& put) {
    const V v0 = get(0), v1 = get(1), v2 = get(2), v3 = get(3), v4 = get(4);
    put(0, v0 + v1 + v3);
    put(1, v1 + v2 + v4);
  }
};
struct F4x3s2 {
  static constexpr int m = 4, n = 9, t = 9;
  static constexpr bool kShort = true;  // V of bytes fits 16 bits
  static constexpr short bt[] = {-2, 0, -3, 0, 3, 0, 2, 0, 0, 0, 0, 2, 0, 5, 0, 2, 0, 0, 0, 0, -2, 0, 1, 0, 1, 0, 0, 0, 0, -1, 0, -1, 0, 2, 0, 0, 0, 0, -2, 0, -3, 0, 3, 0, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0};
  static constexpr short at[] = {1, 1, 8, 1, 0, 1, 0, 0, 0, 0, 1, -4, -2, 0, 0, 1, 0, 0, 0, 1, 2, 4, 0, 0, 0, 1, 0, 0, 1, -1, -8, 1, 0, 0, 0, 1};
  template <typename V, typename Get, typename Put>
  [[gnu::always_inline]] static void input(const Get& get, const Put& put) {
    const V v0 = get(0), v1 = get(1), v2 = get(2), v3 = get(3), v4 = get(4), v5 = get(5), v6 = get(6), v7 = get(7), v8 = get(8);
    const V v9 = v6 - v0;
    const V v10 = v4 - v2;
    put(0, plus<3>(scaled<2>(v9), v10));
    const V v12 = v2 + v6;
    put(1, plus<5>(scaled<2>(v12), v4));
    put(2, plus<-2>(v4 + v6, v2));
    put(3, scaled<2>(v6) - v2 - v4);
    const V v16 = v8 - v2;
    const V v17 = v6 - v4;
    put(4, plus<3>(scaled<2>(v16), v17));
    put(5, v1);
    put(6, v3);
    put(7, v5);
    put(8, v7);
  }
  template <typename V, typename Get, typename Put>
  [[gnu::always_inline]] static void output(const Get& get, const Put& put) {
    const V v0 = get(0), v1 = get(1), v2 = get(2), v3 = get(3), v4 = get(4), v5 = get(5), v6 = get(6), v7 = get(7), v8 = get(8);
    put(0, plus<8>(v0 + v1 + v3 + v5, v2));
    put(1, plus<-4>(plus<-2>(v1 + v6, v3), v2));
    put(2, plus<4>(plus<2>(v1 + v7, v2), v3));
    put(3, plus<-8>(v1 + v4 + v8 - v2, v3));
  }
};
// clang-format on

template <class Call>
void for_each_named(const Call& call) {
  call(std::type_identity<F2x3>{});
  call(std::type_identity<F4x3>{});
  call(std::type_identity<F6x3>{});
  call(std::type_identity<SFC6x3>{});
  call(std::type_identity<F2x5>{});
  call(std::type_identity<F4x5>{});
  call(std::type_identity<SFC6x5>{});
  call(std::type_identity<SFC6_7x5>{});
  call(std::type_identity<SFC6_5x5>{});
  call(std::type_identity<F2x3s2>{});
  call(std::type_identity<F4x3s2>{});
}

}  // namespace tilewise::TILEWISE_SET
