// The ceremony, by which the vaults of a location get the same chain key C. Once, by hand, in three steps;
// each is a process of its own, on the host of the vault that it is for:
//
//   1. offer, at each further vault: an RSA-3072 pair in its token, for this ceremony only, and a signed
//   offer
//   2. make, at the first vault: C in its token, and for each offer a signed share
//   3. take, at each further vault: C in its token; the pair is destroyed
//
// What is shared is the chain's seed, one step before C: extractable at the first vault for as long as it
// takes to wrap it to each pair, and unwrapped elsewhere by a pair that makes nothing of it but a key that
// derives and is not extractable. Both are session objects, and gone when C is believed.
//
// Killed anywhere, nothing half-done is believed:
//
//   offer  A pair whose offer was never written: it opens nothing, and the next offer() destroys it. (So of
//          several offers of a vault the last one counts.)
//   make   Before C is in the token: unsigned shares in the state directory, which no vault takes; the next
//          make() begins anew. Thereafter: C, and the same file, by which unfinished() signs and gives the
//          shares again, until done().
//   take   Before C is in the token: the pair is still there, and the share can be taken. Thereafter: C, and
//   a
//          pair that is of no use; the next offer(), make() or take() destroys it before it refuses.
#pragma once

#include "daemon/fleet/ceremony_frames.hpp"
#include "daemon/fleet/identity.hpp"
#include "daemon/fleet/known_lists.hpp"
#include "pkcs11/session.hpp"

#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace stek::fleet {

/// Nothing was done; what() says why, and what to do.
class CeremonyRefused : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

/// A share, and the name of the vault that it is for.
struct ShareFor {
    std::string vault;
    std::vector<std::uint8_t> frame;
};

/// What a vault token must offer for it, beyond vault_mechanisms().
std::span<const pkcs11::NeededMechanism> ceremony_mechanisms() noexcept;

/// One vault's part in it. All but the directory's name is borrowed. The session is logged in and read-write,
/// and nobody else writes to the token meanwhile (TokenClaims); after an exception it may be spent. One
/// thread at a time, the one that the vault's keys are of. All functions throw CeremonyRefused, also if this
/// vault is not active in the fleet's list, pkcs11::Error, pkcs11::TokenError, std::system_error.
class Ceremony {
  public:
    /// `state`: stekd's state directory, 0700.
    Ceremony(pkcs11::Session& vault, const Identity& self, const KnownLists& lists, std::string state);

    /// Throws if there is a chain key already, as all three steps do.
    void refuse_second_chain();

    /// Step 1. A frame. Earlier offers of this vault are void. Takes 0.1 to 2 s.
    std::vector<std::uint8_t> offer();

    /// Step 2. `epoch`: that the chain begins with, from 1; nothing before it can ever be derived. `offers`:
    /// frames; one by each other active vault of this location. Throws FrameError too, before anything is
    /// made. C is in the token on return; done() is to be called once the shares are where they can be
    /// fetched.
    std::vector<ShareFor> make(std::uint64_t epoch, const std::vector<std::vector<std::uint8_t>>& offers);
    /// The shares of a make() that got C into the token and was not followed by done(); none if there is no
    /// such. Throws CeremonyRefused if the chain has moved on, so that it cannot be told whether they are
    /// its.
    std::vector<ShareFor> unfinished();
    void done();

    /// Step 3. The epoch that the chain begins with. Throws FrameError too; the token is then as it was.
    std::uint64_t take(Bytes share);

  private:
    [[nodiscard]] const Party& own() const;
    [[nodiscard]] std::string named(PartyNumber number) const;  ///< for messages
    [[nodiscard]] CeremonyOffer verified_offer(Bytes frame) const;
    [[nodiscard]] CeremonyShare verified_share(Bytes frame) const;
    [[nodiscard]] std::vector<ShareFor> sign(const std::vector<CeremonyShare>& shares) const;
    void refuse_if_left_out(const std::vector<CeremonyOffer>& offers) const;

    pkcs11::Session* vault_;
    const Identity* self_;
    const KnownLists* lists_;
    std::string state_;
};

}  // namespace stek::fleet
