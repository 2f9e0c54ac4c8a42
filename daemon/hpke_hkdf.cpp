#include "daemon/hpke_hkdf.hpp"

#include "daemon/hpke_error.hpp"

#include <algorithm>
#include <initializer_list>

#include <openssl/core_names.h>
#include <openssl/params.h>

namespace stek::hpke {

namespace {

constexpr std::size_t largest_info = 512;

struct FreeContext {
    void operator()(EVP_KDF_CTX* context) const noexcept { EVP_KDF_CTX_free(context); }
};

Bytes bytes_of(std::string_view text) {
    return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

/// The parts one after another, in memory that wipes itself, for some are secret; and of the stack, if they
/// have room there: pages of their own cost more than all that is done with them.
class Joined {
  public:
    explicit Joined(std::initializer_list<Bytes> parts) {
        for (const Bytes part : parts)
            size_ += part.size();
        if (size_ > near_.size())
            far_ = Secret(size_);
        auto* at = size_ > near_.size() ? far_.data() : near_.data();
        for (const Bytes part : parts)
            at = std::ranges::copy(part, at).out;
    }
    [[nodiscard]] Bytes bytes() const noexcept {
        return far_.empty() ? Bytes(near_.bytes()).first(size_) : far_.bytes();
    }

  private:
    SecretArray<192> near_;
    Secret far_;
    std::size_t size_ = 0;
};

constexpr std::string_view version = "HPKE-v1";

}  // namespace

LabelledHkdf::LabelledHkdf(Bytes suite_id)
    : kdf_(EVP_KDF_fetch(nullptr, "HKDF", nullptr)), suite_id_size_(suite_id.size()) {
    if (!kdf_)
        throw Error("HPKE: libcrypto has no HKDF");
    if (suite_id.size() > suite_id_.size())
        throw Error("HPKE: a suite id of more than 10 bytes");
    std::ranges::copy(suite_id, suite_id_.begin());
}

void LabelledHkdf::hkdf(int mode, Bytes salt, Bytes key, Bytes info, std::span<std::uint8_t> out) const {
    const auto octets = [](const char* name, Bytes value) {
        return OSSL_PARAM_construct_octet_string(name, const_cast<std::uint8_t*>(value.data()), value.size());
    };
    char digest[] = "SHA256";
    const std::array<OSSL_PARAM, 5> params{
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
        octets(OSSL_KDF_PARAM_KEY, key),
        mode == EVP_KDF_HKDF_MODE_EXTRACT_ONLY ? octets(OSSL_KDF_PARAM_SALT, salt)
                                               : octets(OSSL_KDF_PARAM_INFO, info),
        OSSL_PARAM_construct_end(),
    };
    const std::unique_ptr<EVP_KDF_CTX, FreeContext> context(EVP_KDF_CTX_new(kdf_.get()));
    if (!context || EVP_KDF_derive(context.get(), out.data(), out.size(), params.data()) != 1)
        throw Error("HPKE: HKDF failed");
}

void LabelledHkdf::extract(Bytes salt, std::string_view label, Bytes ikm, Digest& out) const {
    static constexpr std::array<std::uint8_t, Digest::size()> no_salt{};
    const Joined labelled({bytes_of(version), Bytes(suite_id_).first(suite_id_size_), bytes_of(label), ikm});
    hkdf(EVP_KDF_HKDF_MODE_EXTRACT_ONLY, salt.empty() ? Bytes(no_salt) : salt, labelled.bytes(), {},
         out.span());
}

void LabelledHkdf::expand(const Digest& prk, std::string_view label, Bytes info,
                          std::span<std::uint8_t> out) const {
    if (out.empty() || out.size() > 255 * Digest::size() || info.size() > largest_info)
        throw Error("HPKE: HKDF is asked for too much");
    const std::array<std::uint8_t, 2> length{static_cast<std::uint8_t>(out.size() >> 8),
                                             static_cast<std::uint8_t>(out.size())};
    const Joined labelled(
        {length, bytes_of(version), Bytes(suite_id_).first(suite_id_size_), bytes_of(label), info});
    hkdf(EVP_KDF_HKDF_MODE_EXPAND_ONLY, {}, prk.bytes(), labelled.bytes(), out);
}

}  // namespace stek::hpke
