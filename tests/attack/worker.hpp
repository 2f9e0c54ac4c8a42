// What a worker of a TLS server has: the module, the ring, a session with the ticket token. Bare Cryptoki: an
// attacker does not use our layer.
#pragma once

#include "provider/key_ring.hpp"
#include "tests/attack/attempts.hpp"
#include "tests/attack/template.hpp"

#include <optional>

namespace stek::attack {

struct Scene {
    std::string module, ring, pin;
    bool loose = false;  ///< a pair without templates: the honest way does not exist, keys are had greedily
    std::string vault_label;  ///< the vault is attacked, not the ticket token
};

CK_FUNCTION_LIST& load_module(const std::string& path);
Mechanisms list_mechanisms(const Scene& scene);

/// A mechanism with parameters that fit it, good for the life of the process.
CK_MECHANISM& mechanism(CK_MECHANISM_TYPE type);
/// OAEP as stekd uses it.
CK_MECHANISM& oaep(OaepHash hash = OaepHash::sha1);

class Worker {
  public:
    explicit Worker(const Scene& scene);

    CK_FUNCTION_LIST& p;  // as OpenSC and p11-kit call it
    CK_SLOT_ID slot = 0;
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;  ///< read-write: nothing forbids to open one
    CK_OBJECT_HANDLE pair = CK_INVALID_HANDLE;      ///< private half of the sealing record's pair
    CK_OBJECT_HANDLE public_half = CK_INVALID_HANDLE;
    std::shared_ptr<const KeyRing> ring;
    const RingRecord* record = nullptr;  ///< of the key that seals now
    bool loose;

    /// Each call needs a session that no failed one has spoilt.
    CK_SESSION_HANDLE fresh(CK_FLAGS flags = CKF_RW_SESSION);
    CK_RV unwrap(CK_MECHANISM& by, Template as, CK_OBJECT_HANDLE& out, CK_OBJECT_HANDLE with = 0,
                 std::vector<std::uint8_t> wrapped = {});
    /// The sealing record's STEK, as a server has it. Throws CannotTry.
    CK_OBJECT_HANDLE stek();
    std::vector<CK_OBJECT_HANDLE> find(Template pattern);
    std::optional<std::vector<std::uint8_t>> read(CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type);
    CK_OBJECT_HANDLE create(Template object, CK_RV& rv);
    /// A key of one's own that can do everything. AES-256, or DES3. Throws CannotTry.
    CK_OBJECT_HANDLE own(CK_KEY_TYPE type = CKK_AES);
    /// The same: RSA-2048, public and private half.
    std::pair<CK_OBJECT_HANDLE, CK_OBJECT_HANDLE> own_pair();

    /// Looks a key over that came of rv: what it says of itself, and what it does when it is used so.
    Loot look_over(CK_RV rv, CK_OBJECT_HANDLE key, const std::string& why = {});
    /// Wraps `key` by `type` with a fitting key of one's own, unwraps the outcome greedily and reads it.
    Loot wrapped_out(CK_MECHANISM_TYPE type, CK_OBJECT_HANDLE key, CK_OBJECT_HANDLE with = 0);
    Loot encrypted_by(CK_MECHANISM& by, CK_OBJECT_HANDLE key, bool decrypt, std::vector<std::uint8_t> in);
    Loot signed_by(CK_MECHANISM& by, CK_OBJECT_HANDLE key, bool verify);
    Loot derived_by(CK_MECHANISM& by, CK_OBJECT_HANDLE key, Template child = greedy());

  private:
    void choose_slot(const Scene& scene);
};

std::string mechanism_text(CK_MECHANISM_TYPE type);

}  // namespace stek::attack
