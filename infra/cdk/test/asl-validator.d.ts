/** The package has no types of its own. */
declare module 'asl-validator' {
  function validate(definition: unknown): { readonly isValid: boolean; readonly errorsText: () => string };
  export default validate;
}
