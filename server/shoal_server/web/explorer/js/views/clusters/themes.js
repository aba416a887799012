/** Clusters by the themes they are under. */

/**
 * The clusters of each theme, in the order of its first cluster, those in none last.
 *
 * @param {object[]} clusters in the order wanted
 * @param {Array<{id: number, display_name: string, parent: number|null}>} themes
 * @returns {Array<{title: string, above: string[], clusters: object[]}>} `above`: names of the themes that it is under,
 *   the outermost first
 */
export function themesOf(clusters, themes) {
  const known = new Map(themes.map((theme) => [theme.id, theme]));
  const sections = new Map();
  for (const cluster of clusters) {
    const theme = known.get(cluster.theme) ?? null;
    if (!sections.has(theme)) {
      const [title, names] = theme ? [nameOf(theme), above(theme, known)] : ["In no theme", []];
      sections.set(theme, { title, above: names, clusters: [] });
    }
    sections.get(theme).clusters.push(cluster);
  }
  const none = sections.get(null);
  sections.delete(null);
  return none ? [...sections.values(), none] : [...sections.values()];
}

const nameOf = (theme) => theme.display_name || `Theme ${theme.id}`;

function above(theme, known) {
  const names = [];
  const seen = new Set();
  for (let each = known.get(theme.parent); each && !seen.has(each.id); each = known.get(each.parent)) {
    seen.add(each.id);
    names.unshift(nameOf(each));
  }
  return names;
}
