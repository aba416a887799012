/** Kinds of corrections, in words. */
export const KINDS = {
  rename: "Renamed",
  merge: "Merged",
  split: "Split",
  pin: "Pinned",
  unpin: "Unpinned",
  move: "Moved",
  dissolve: "Dissolved",
  reassign_noise: "Put where they fit",
};
