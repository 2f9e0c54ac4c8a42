#include "daemon/fleet/ceremony.hpp"

#include "daemon/fleet/body.hpp"
#include "daemon/fleet/ceremony_pair.hpp"
#include "daemon/fleet/durable_file.hpp"
#include "provider/rsa_spki.hpp"
#include "provider/schedule.hpp"
#include "provider/ticket_token.hpp"
#include "provider/vault.hpp"

#include <algorithm>
#include <array>
#include <filesystem>

namespace stek::fleet {
namespace {

/// The bodies of the shares, one behind the other, until done().
constexpr char unsigned_file[] = "ceremony.shares";

ChainCheck check_of(pkcs11::Session& vault, CK_OBJECT_HANDLE chain_key) {
    const Secret derived = derive_readable(vault, chain_key, "check");
    ChainCheck check;
    std::copy_n(derived.data(), check.size(), check.begin());
    return check;
}

CeremonyShare wrap_for(pkcs11::Session& vault, const CeremonyOffer& offer, CK_OBJECT_HANDLE seed) {
    CeremonyShare share;
    share.vault = offer.vault;
    share.location = offer.location;
    share.nonce = offer.nonce;
    share.oaep = offer.oaep;
    const auto wrapping = import_rsa_public(vault, offer.public_key);
    OaepMechanism mechanism(offer.oaep);
    const auto wrapped = vault.wrap(mechanism.get(), wrapping.get(), seed);
    if (wrapped.size() != share.wrapped.size())
        throw pkcs11::TokenError("token " + vault.token().label() + " wraps to " +
                                 std::to_string(wrapped.size()) + " bytes, not " +
                                 std::to_string(share.wrapped.size()));
    std::ranges::copy(wrapped, share.wrapped.begin());
    return share;
}

/// Now: a guard's destructor would pass over an error, and it must not be there any more.
void destroy(pkcs11::Session& vault, pkcs11::ScopedObject& object) {
    vault.destroy(object.release());
}

std::vector<std::uint8_t> bodies_of(const std::vector<CeremonyShare>& shares) {
    std::vector<std::uint8_t> all;
    for (const CeremonyShare& share : shares) {
        const auto body = encode_share(share);
        all.insert(all.end(), body.begin(), body.end());
    }
    return all;
}

std::vector<CeremonyShare> read_shares(const std::string& path) {
    if (!std::filesystem::exists(path))
        return {};
    constexpr std::size_t most = PartyList::max_parties * layout::ceremony_share;
    const auto all = read_up_to(path, most);
    if (all.size() > most || all.size() % layout::ceremony_share != 0)
        throw FrameError(path + ": not the size of shares");
    std::vector<CeremonyShare> shares;
    for (Bytes rest = all; !rest.empty(); rest = rest.subspan(layout::ceremony_share))
        shares.push_back(decode_share(rest.first(layout::ceremony_share)));
    return shares;
}

}  // namespace

std::span<const pkcs11::NeededMechanism> ceremony_mechanisms() noexcept {
    static constexpr std::array<pkcs11::NeededMechanism, 2> needed{{
        {CKM_RSA_PKCS_KEY_PAIR_GEN, CKF_GENERATE_KEY_PAIR},
        {CKM_RSA_PKCS_OAEP, CKF_WRAP | CKF_UNWRAP},
    }};
    return needed;
}

Ceremony::Ceremony(pkcs11::Session& vault, const Identity& self, const KnownLists& lists, std::string state)
    : vault_(&vault), self_(&self), lists_(&lists), state_(std::move(state)) {}

const Party& Ceremony::own() const {
    const Party* party = lists_->fleet() != nullptr ? self_->in(*lists_->fleet()) : nullptr;
    if (party == nullptr || party->role != Role::vault)
        throw CeremonyRefused(
            "vault " + self_->name + " of location " + self_->location +
            " is not active in the fleet's list, with the keys of its token: it has to be enrolled and "
            "approved first, and the list to be here");
    return *party;
}

std::string Ceremony::named(PartyNumber number) const {
    const Party* party = lists_->fleet()->find(number);
    return party != nullptr ? "vault " + party->name : "party " + std::to_string(number);
}

void Ceremony::refuse_second_chain() {
    if (!Chain(*vault_).position())
        return;
    destroy_ceremony_pairs(*vault_);  // what a kill may have left of a take()
    throw CeremonyRefused("token " + vault_->token().label() +
                          " holds a chain key already, and keeps it: a vault takes part in one ceremony. For "
                          "another one its token has to be made anew and enrolled");
}

std::vector<std::uint8_t> Ceremony::offer() {
    const Party& party = own();
    refuse_second_chain();
    destroy_ceremony_pairs(*vault_);
    CeremonyOffer offer;
    offer.vault = party.number;
    offer.location = self_->location;
    vault_->random(offer.nonce);
    offer.oaep = ticket_oaep_hash(vault_->shared_token());
    offer.public_key = make_ceremony_pair(*vault_, offer.nonce);
    return self_->sign(Kind::ceremony_offer, party.number, encode_offer(offer));
}

CeremonyOffer Ceremony::verified_offer(Bytes frame) const {
    const Party* signer = nullptr;
    auto offer =
        decode_offer(lists_->open(frame, Kind::ceremony_offer, Role::vault, self_->location, signer));
    if (offer.vault != signer->number || offer.location != self_->location)
        throw FrameError("ceremony offer: of " + named(offer.vault) + " of location " + offer.location +
                         ", but signed by " + named(signer->number) + " of " + signer->location);
    if (offer.vault == own().number)
        throw FrameError("ceremony offer: this vault's own, which needs none");
    return offer;
}

// It could never get this chain later: C cannot be had from the token.
void Ceremony::refuse_if_left_out(const std::vector<CeremonyOffer>& offers) const {
    std::string left_out;
    for (const Party& party : lists_->fleet()->parties)
        if (party.role == Role::vault && party.standing == Standing::active &&
            party.location == self_->location && party.number != own().number &&
            std::ranges::find(offers, party.number, &CeremonyOffer::vault) == offers.end())
            left_out += (left_out.empty() ? "" : ", ") + party.name;
    if (!left_out.empty())
        throw CeremonyRefused("there is no offer by " + left_out + " of location " + self_->location +
                              ", which could never get this chain: let each make one, or retire it");
}

std::vector<ShareFor> Ceremony::make(std::uint64_t epoch,
                                     const std::vector<std::vector<std::uint8_t>>& offers) {
    (void)own();
    refuse_second_chain();
    if (epoch == 0)
        throw CeremonyRefused("a chain does not begin with epoch 0");
    std::vector<CeremonyOffer> verified;
    for (const auto& frame : offers) {
        auto offer = verified_offer(frame);
        if (std::ranges::find(verified, offer.vault, &CeremonyOffer::vault) != verified.end())
            throw FrameError("ceremony offer: two of " + named(offer.vault) +
                             "; its last one is the one that counts");
        verified.push_back(std::move(offer));
    }

    refuse_if_left_out(verified);

    Chain chain(*vault_);
    auto seed = chain.make_seed();
    std::vector<CeremonyShare> shares;
    shares.reserve(verified.size());
    for (const auto& offer : verified)
        shares.push_back(wrap_for(*vault_, offer, seed.get()));
    const auto chain_key = chain.grow(seed.get(), {epoch, epoch});
    destroy(*vault_, seed);
    const auto check = check_of(*vault_, chain_key.get());
    for (auto& share : shares) {
        share.epoch = epoch;
        share.check = check;
    }

    // Whatever lies there is of a make() that did not get as far as this one: nobody has a share of it.
    if (shares.empty())
        done();
    else
        replace_durably(state_, unsigned_file, bodies_of(shares));
    chain.plant(chain_key);
    destroy_ceremony_pairs(*vault_);  // had this vault made an offer: no share could be taken any more
    return sign(shares);
}

// Not before C is in the token: else others might take a share of a chain that this vault does not have.
std::vector<ShareFor> Ceremony::sign(const std::vector<CeremonyShare>& shares) const {
    const PartyNumber signer = own().number;
    std::vector<ShareFor> signed_shares;
    for (const auto& share : shares) {
        const Party* recipient = lists_->fleet()->find(share.vault);
        if (recipient == nullptr || recipient->standing != Standing::active)
            continue;  // retired since it made its offer
        signed_shares.push_back(
            {recipient->name, self_->sign(Kind::ceremony_share, signer, encode_share(share))});
    }
    return signed_shares;
}

std::vector<ShareFor> Ceremony::unfinished() {
    (void)own();
    Chain chain(*vault_);
    const auto at = chain.position();
    const auto path = state_ + "/" + unsigned_file;
    const auto shares = at ? read_shares(path) : std::vector<CeremonyShare>{};
    if (shares.empty())
        return {};
    const auto is_of_chain =
        [&, check = check_of(*vault_, chain.at_epoch(at->epoch).get())](const CeremonyShare& share) {
            return share.epoch == at->epoch && share.check == check && share.location == self_->location;
        };
    if (!std::ranges::all_of(shares, is_of_chain))
        throw CeremonyRefused(path + " holds shares of a ceremony that was interrupted; they are of epoch " +
                              std::to_string(shares.front().epoch) +
                              ", and not of the chain as it is now, at "
                              "epoch " +
                              std::to_string(at->epoch) +
                              ". Remove the file. For another ceremony "
                              "the vaults' tokens have to be made anew and enrolled");
    return sign(shares);
}

void Ceremony::done() {
    remove_durably(state_, unsigned_file);
}

CeremonyShare Ceremony::verified_share(Bytes frame) const {
    const PartyNumber me = own().number;
    const Party* signer = nullptr;
    auto share =
        decode_share(lists_->open(frame, Kind::ceremony_share, Role::vault, self_->location, signer));
    if (share.location != self_->location)
        throw FrameError("ceremony share: for location " + share.location);
    if (share.vault != me || signer->number == me)
        throw FrameError("ceremony share: by " + named(signer->number) + " for " + named(share.vault) +
                         "; this one is " + named(me));
    return share;
}

std::uint64_t Ceremony::take(Bytes frame) {
    const auto share = verified_share(frame);
    refuse_second_chain();
    const auto pair = find_ceremony_pair(*vault_, share.nonce);
    if (pair == CK_INVALID_HANDLE)
        throw CeremonyRefused("the share is for an offer of this vault that is void: token " +
                              vault_->token().label() +
                              " does not hold its pair. Make a new offer, and let the first vault make "
                              "shares for it; if that has a chain key by now, all begin anew");
    Chain chain(*vault_);
    auto seed = unwrap_seed(*vault_, pair, share.oaep, share.wrapped);
    const auto chain_key = chain.grow(seed.get(), {share.epoch, share.epoch});
    destroy(*vault_, seed);
    if (check_of(*vault_, chain_key.get()) != share.check)
        throw CeremonyRefused(
            "the share opens to another chain key than the first vault has; make the offer "
            "and the share anew");
    done();  // of a make() that did not come to an end: that chain is no vault's
    chain.plant(chain_key);
    destroy_ceremony_pairs(*vault_);
    return share.epoch;
}

}  // namespace stek::fleet
