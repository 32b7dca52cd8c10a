# The headers of musl and of LLVM's C++ library, which is made for more than one C library, as far as compiling goes.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_C_COMPILER clang)
set(CMAKE_CXX_COMPILER clang++)
execute_process(COMMAND uname -m OUTPUT_VARIABLE MACHINE OUTPUT_STRIP_TRAILING_WHITESPACE)
set(CMAKE_C_COMPILER_TARGET ${MACHINE}-linux-musl)
set(CMAKE_CXX_COMPILER_TARGET ${MACHINE}-linux-musl)
# There is nothing to link with.
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
set(THREADS_PREFER_PTHREAD_FLAG ON)
execute_process(COMMAND clang -print-resource-dir OUTPUT_VARIABLE OWN OUTPUT_STRIP_TRAILING_WHITESPACE)
set(HEADERS "-isystem ${OWN}/include -isystem /usr/include/${MACHINE}-linux-musl")
# What the kernel's headers are among.
set(KERNEL "-idirafter /usr/include -idirafter /usr/include/${MACHINE}-linux-gnu")
# musl's own macros compare so.
set(CMAKE_C_FLAGS_INIT "-nostdinc ${HEADERS} ${KERNEL} -Wno-error=sign-compare")
set(CMAKE_CXX_FLAGS_INIT
  "-nostdinc -nostdinc++ -D_LIBCPP_HAS_MUSL_LIBC -isystem ${OWN}/../../../include/c++/v1 ${HEADERS} ${KERNEL} -Wno-error=sign-compare")
