#include "daemon/fleet/root_key.hpp"

#include "daemon/config.hpp"
#include "daemon/error_queue.hpp"
#include "daemon/init_parts.hpp"

#include <memory>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

namespace stek::fleet {

Point read_root_key(const std::string& path) {
    const EmptyQueue queue;
    const std::unique_ptr<BIO, decltype(&BIO_free)> file(BIO_new_file(path.c_str(), "r"), BIO_free);
    if (!file)
        throw daemon::ConfigError("engine.root: cannot read " + path + ": " + newest_reason());
    const hpke::KeyPtr key(PEM_read_bio_PUBKEY(file.get(), nullptr, nullptr, nullptr));
    Point point{};
    std::size_t size = 0;
    char group[16] = "";
    if (!key ||
        EVP_PKEY_get_utf8_string_param(key.get(), OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof group, nullptr) !=
            1 ||
        std::string(group) != "prime256v1" ||
        EVP_PKEY_get_octet_string_param(key.get(), OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, point.data(),
                                        point.size(), &size) != 1 ||
        size != point.size() || point.front() != 0x04)
        throw daemon::ConfigError(
            "engine.root: " + path +
            " must be the fleet's root.pem, a P-256 public key (stekctl fleet init makes it)");
    return point;
}

void write_root_key(const std::string& path, const Point& root) {
    const EmptyQueue queue;
    const auto key = hpke::parse_point(root, "the root key");
    const std::unique_ptr<BIO, decltype(&BIO_free)> text(BIO_new(BIO_s_mem()), BIO_free);
    if (!text || PEM_write_bio_PUBKEY(text.get(), key.get()) != 1)
        throw daemon::ConfigError("engine.root: libcrypto does not write the root key: " + newest_reason());
    char* pem = nullptr;
    const long size = BIO_get_mem_data(text.get(), &pem);
    daemon::write_text(path, {pem, static_cast<std::size_t>(size)}, 0644);
}

}  // namespace stek::fleet
