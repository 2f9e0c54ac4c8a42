// Stands for another SSL library that a program is linked to as well: names of libssl's, other functions.
#define EXPORTED __attribute__((visibility("default")))

extern "C" {

EXPORTED void* SSL_get_ex_data(const void* ssl, int index);
EXPORTED void* SSL_CTX_get_ex_data(const void* ctx, int index);
EXPORTED unsigned long SSL_get_num_tickets(const void* ssl);
EXPORTED int SSL_library_of_others();

void* SSL_get_ex_data(const void*, int) {
    return nullptr;
}

void* SSL_CTX_get_ex_data(const void*, int) {
    return nullptr;
}

unsigned long SSL_get_num_tickets(const void*) {
    return 0;
}

int SSL_library_of_others() {
    return 1;
}

}  // extern "C"
