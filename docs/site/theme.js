// VitePress' theme with the system fonts of the reader, so that the site contains no font files.

export { default } from 'vitepress/theme-without-fonts';
